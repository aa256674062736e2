"""Step decay at regular intervals."""

from keras import ops

from keras_gdx.arguments import NonNegativeFloat, PositiveFloat, PositiveSteps
from keras_gdx.registry import register
from keras_gdx.schedules.base import Schedule
from keras_gdx.schedules.math import turns

__all__ = ["Step"]


@register
class Step(Schedule):
    r"""Step decay: multiplied by `gamma` every `step_size` updates.

    $$\eta_t = \eta_0 \, \gamma^{\lfloor t / S \rfloor}$$

    Args:
        initial_learning_rate: Number >= 0, $\eta_0$: the value of update 0.
        step_size: Integer >= 1, $S$: updates per step.
        gamma: Number > 0, $\gamma$: the factor.

    Raises:
        ValueError: If the rate is negative, `step_size` is not an integer >= 1, or `gamma`
            is not above 0.

    Example:
        >>> from keras_gdx.schedules import Step
        >>> schedule = Step(1.0, step_size=2, gamma=0.5)
        >>> print(schedule.sample(6))
        [1.   1.   0.5  0.5  0.25 0.25]

    Source: by definition

    Verified against: torch StepLR
    """

    def __init__(
        self,
        initial_learning_rate: NonNegativeFloat,
        step_size: PositiveSteps,
        gamma: PositiveFloat,
    ):
        self.initial_learning_rate = initial_learning_rate
        self.step_size = step_size
        self.gamma = gamma

    def __call__(self, t):
        return self.initial_learning_rate * ops.power(self.gamma, turns(t, self.step_size)[0])
