"""Constant, then cosine decay."""

from typing import Annotated

from annotated_types import Interval

from keras_gdx.arguments import FractionFloat, NonNegativeFloat, PositiveSteps
from keras_gdx.registry import register
from keras_gdx.schedules.base import Schedule
from keras_gdx.schedules.math import blend, half_wave, remaining

__all__ = ["FlatCosine"]


@register
class FlatCosine(Schedule):
    r"""Constant for most of the run, then cosine decay.

    $$\eta_t = \eta_0 \left(\alpha + (1 - \alpha) \, \tfrac12 (1 + \cos \pi x)\right),
      \qquad x = \max\left(\tfrac{t - F}{D - F}, 0\right)$$

    with $F$ the integer nearest to $pD$.

    Args:
        initial_learning_rate: Number >= 0, $\eta_0$: the value of update 0.
        decay_steps: Integer >= 1, $D$: updates until the last value.
        pct_start: Number in [0, 1), $p$: fraction of `decay_steps` with a constant value.
        alpha: Number in [0, 1]: last value as a fraction of the initial one (fastai: 1e-5).

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> from keras_gdx.schedules import FlatCosine
        >>> schedule = FlatCosine(1.0, decay_steps=8, pct_start=0.5)
        >>> print(schedule.sample(10).round(4))
        [1.     1.     1.     1.     1.     0.8536 0.5    0.1464 0.     0.    ]

    Source: fastai `fit_flat_cos`

    Verified against: its formula in NumPy
    """

    def __init__(
        self,
        initial_learning_rate: NonNegativeFloat,
        decay_steps: PositiveSteps,
        pct_start: Annotated[float, Interval(ge=0, lt=1)] = 0.75,
        alpha: FractionFloat = 0.0,
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.pct_start = pct_start
        self.alpha = alpha

    def __call__(self, t):
        flat = min(round(self.pct_start * self.decay_steps), self.decay_steps - 1)
        share = half_wave(remaining(t - flat, self.decay_steps - flat))
        return self.initial_learning_rate * blend(1.0, self.alpha, share)
