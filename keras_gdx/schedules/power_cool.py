"""Power-law decay with a linear cooldown."""

from typing import Annotated

from annotated_types import Interval, Le
from keras import ops

from keras_gdx.arguments import NonNegativeFloat, PositiveSteps
from keras_gdx.registry import register
from keras_gdx.schedules.base import Schedule
from keras_gdx.schedules.math import remaining

__all__ = ["PowerCool"]


@register
class PowerCool(Schedule):
    r"""Power-law decay, with a linear cooldown to zero at the end.

    With a power law the same settings suit runs of many lengths; the cooldown brings the rate
    to zero. It begins at its peak, so combine it with `Warmup`.

    $$\eta_t = \eta_0 \max(t, 1)^{p} \min\left(1, \tfrac{T - t}{f T}\right)$$

    Args:
        initial_learning_rate: Number >= 0, $\eta_0$: the value of updates 0 and 1.
        total_steps: Integer >= 1, $T$: updates until zero.
        power: Number <= 0, $p$.
        fraction: Number in (0, 1], $f$: fraction of the run that is cooldown.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> from keras_gdx.schedules import PowerCool
        >>> schedule = PowerCool(1.0, total_steps=8, fraction=0.5)
        >>> print(schedule.sample(9).round(4))
        [1.     1.     0.7071 0.5774 0.5    0.3354 0.2041 0.0945 0.    ]

    Source: arXiv:2408.13359, Shen 2024

    Verified against: its formula in NumPy
    """

    def __init__(
        self,
        initial_learning_rate: NonNegativeFloat,
        total_steps: PositiveSteps,
        power: Annotated[float, Le(0)] = -0.5,
        fraction: Annotated[float, Interval(gt=0, le=1)] = 0.2,
    ):
        self.initial_learning_rate = initial_learning_rate
        self.total_steps = total_steps
        self.power = power
        self.fraction = fraction

    def __call__(self, t):
        value = ops.power(ops.cast(ops.maximum(t, 1), "float32"), self.power)
        cool = ops.minimum(remaining(t, self.total_steps) / self.fraction, 1.0)
        return self.initial_learning_rate * value * cool
