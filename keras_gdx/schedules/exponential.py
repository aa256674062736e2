"""Exponential decay."""

from keras import ops

from keras_gdx.arguments import NonNegativeFloat, PositiveFloat, PositiveSteps
from keras_gdx.registry import register
from keras_gdx.schedules.base import Schedule
from keras_gdx.schedules.math import turns

__all__ = ["Exponential"]


@register
class Exponential(Schedule):
    r"""Exponential decay: multiplied by `decay_rate` every `decay_steps` updates, without end.

    $$\eta_t = \eta_0 \, \gamma^{t / D}$$

    Args:
        initial_learning_rate: Number >= 0, $\eta_0$: the value of update 0.
        decay_steps: Integer >= 1, $D$: updates per multiplication by `decay_rate`.
        decay_rate: Number > 0, $\gamma$: the factor.
        staircase: If true, $t / D$ is rounded down, so it decays in steps.

    Raises:
        ValueError: If the rate is negative, `decay_steps` is not an integer >= 1, or
            `decay_rate` is not above 0.

    Example:
        >>> from keras_gdx.schedules import Exponential
        >>> schedule = Exponential(1.0, decay_steps=2, decay_rate=0.25)
        >>> print(schedule.sample(5))
        [1.     0.5    0.25   0.125  0.0625]

    Source: as `keras.optimizers.schedules.ExponentialDecay`

    Verified against: Keras ExponentialDecay, optax exponential_decay, torch ExponentialLR
    """

    def __init__(
        self,
        initial_learning_rate: NonNegativeFloat,
        decay_steps: PositiveSteps,
        decay_rate: PositiveFloat,
        staircase: bool = False,
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase

    def __call__(self, t):
        whole, share = turns(t, self.decay_steps)
        times = whole if self.staircase else whole + share
        return self.initial_learning_rate * ops.power(self.decay_rate, times)
