"""Cosine decay."""

from keras_gdx.arguments import FractionFloat, NonNegativeFloat, PositiveSteps
from keras_gdx.registry import register
from keras_gdx.schedules.base import Schedule
from keras_gdx.schedules.math import blend, half_wave, remaining

__all__ = ["Cosine"]


@register
class Cosine(Schedule):
    r"""Cosine decay to the last value.

    It decays slowly at both ends and fast in between. Set `decay_steps` to the length of
    the run: a run that ends earlier ends at too high a rate.

    $$\eta_t = \eta_0 \left(\alpha + (1 - \alpha) \, \tfrac12
      \left(1 + \cos \tfrac{\pi \min(t, D)}{D}\right)\right)$$

    Args:
        initial_learning_rate: Number >= 0, $\eta_0$: the value of update 0.
        decay_steps: Integer >= 1, $D$: updates until the last value.
        alpha: Number in [0, 1]: last value as a fraction of the initial one.

    Raises:
        ValueError: If the rate is negative, `decay_steps` is not an integer >= 1, or
            `alpha` is outside [0, 1].

    Example:
        >>> from keras_gdx.schedules import Cosine
        >>> schedule = Cosine(1.0, decay_steps=4)
        >>> print(schedule.sample(6).round(4))
        [1.     0.8536 0.5    0.1464 0.     0.    ]

    Source: arXiv:1608.03983, Loshchilov and Hutter 2016

    Verified against: optax, torch CosineAnnealingLR
    """

    def __init__(
        self,
        initial_learning_rate: NonNegativeFloat,
        decay_steps: PositiveSteps,
        alpha: FractionFloat = 0.0,
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.alpha = alpha

    def __call__(self, t):
        share = half_wave(remaining(t, self.decay_steps))
        return self.initial_learning_rate * blend(1.0, self.alpha, share)
