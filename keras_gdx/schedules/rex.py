"""Reflected exponential (REX) decay."""

from keras_gdx.arguments import NonNegativeFloat, PositiveSteps
from keras_gdx.registry import register
from keras_gdx.schedules.base import Schedule
from keras_gdx.schedules.math import remaining

__all__ = ["REX"]


@register
class REX(Schedule):
    r"""Reflected exponential decay to zero: slow at first, fast at the end.

    It lies between linear decay and a constant rate, and suits short training budgets.

    $$\eta_t = \eta_0 \frac{1 - z}{\frac12 + \frac12 (1 - z)}, \qquad z = \tfrac{t}{D}$$

    Args:
        initial_learning_rate: Number >= 0, $\eta_0$: the value of update 0.
        decay_steps: Integer >= 1, $D$: updates until zero.

    Raises:
        ValueError: If the rate is negative, or `decay_steps` is not an integer >= 1.

    Example:
        >>> from keras_gdx.schedules import REX
        >>> schedule = REX(1.0, decay_steps=4)
        >>> print(schedule.sample(6).round(4))
        [1.     0.8571 0.6667 0.4    0.     0.    ]

    Source: arXiv:2107.04197, Chen 2021

    Verified against: its formula in NumPy
    """

    def __init__(self, initial_learning_rate: NonNegativeFloat, decay_steps: PositiveSteps):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps

    def __call__(self, t):
        left = remaining(t, self.decay_steps)
        return self.initial_learning_rate * left / (0.5 + 0.5 * left)
