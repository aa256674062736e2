"""Hyperbolic-tangent decay."""

from keras import ops

from keras_gdx.arguments import NonNegativeFloat, PositiveSteps
from keras_gdx.registry import register
from keras_gdx.schedules.base import Schedule
from keras_gdx.schedules.math import blend, progress

__all__ = ["Tanh"]


@register
class Tanh(Schedule):
    r"""Hyperbolic-tangent decay: nearly constant, then falling, then nearly constant.

    $$\eta_t = \eta_D + (\eta_0 - \eta_D) \, \tfrac12 \left(1 - \tanh\left(l (1 - x)
      + u x\right)\right), \qquad x = \tfrac{t}{D} < 1$$

    and $\eta_D$ from update $D$ on.

    Args:
        initial_learning_rate: Number >= 0, $\eta_0$.
        decay_steps: Integer >= 1, $D$: updates until the last value.
        lower: Number, $l$: argument of the tangent at the start.
        upper: Number above `lower`, $u$: argument of the tangent at the end.
        end_learning_rate: Number >= 0, $\eta_D$.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> from keras_gdx.schedules import Tanh
        >>> schedule = Tanh(1.0, decay_steps=4)
        >>> print(schedule.sample(6).round(4))
        [1.     0.9999 0.982  0.2689 0.     0.    ]

    Source: arXiv:1806.01593, Hsueh 2018

    Verified against: timm
    """

    def __init__(
        self,
        initial_learning_rate: NonNegativeFloat,
        decay_steps: PositiveSteps,
        lower: float = -7.0,
        upper: float = 3.0,
        end_learning_rate: NonNegativeFloat = 0.0,
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.lower = lower
        self.upper = upper
        self.end_learning_rate = end_learning_rate
        self._check(lower < upper, "upper", upper, f"above `lower`, which is {lower}")

    def __call__(self, t):
        x = progress(t, self.decay_steps)
        # 1 - tanh(a) = 2 / (1 + exp(2a)), which is exact for large a
        share = ops.sigmoid(-2.0 * blend(self.upper, self.lower, x))
        share = ops.where(x < 1.0, share, 0.0)
        return blend(self.initial_learning_rate, self.end_learning_rate, share)
