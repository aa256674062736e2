"""Inverse square-root decay after warmup."""

from keras import ops

from keras_gdx.arguments import NonNegativeFloat, PositiveSteps
from keras_gdx.registry import register
from keras_gdx.schedules.base import Schedule
from keras_gdx.schedules.math import progress

__all__ = ["InverseSqrt"]


@register
class InverseSqrt(Schedule):
    r"""Linear warmup, then inverse square-root decay without end.

    Use it if the length of the run is not known in advance.

    $$\eta_t = \eta \min\left(\tfrac{t}{W}, \sqrt{\tfrac{W}{t}}\right)$$

    Args:
        initial_learning_rate: Number >= 0, $\eta$: the value at the end of warmup.
        warmup_steps: Integer >= 1, $W$: updates of warmup.

    Raises:
        ValueError: If the rate is negative, or `warmup_steps` is not an integer >= 1.

    Example:
        >>> from keras_gdx.schedules import InverseSqrt
        >>> schedule = InverseSqrt(1.0, warmup_steps=4)
        >>> print(schedule.sample(17)[[0, 2, 4, 9, 16]].round(4))
        [0.     0.5    1.     0.6667 0.5   ]

    Source: arXiv:2106.04560, Zhai 2021

    Verified against: transformers get_inverse_sqrt_schedule
    """

    def __init__(self, initial_learning_rate: NonNegativeFloat, warmup_steps: PositiveSteps):
        self.initial_learning_rate = initial_learning_rate
        self.warmup_steps = warmup_steps

    def __call__(self, t):
        late = ops.cast(ops.maximum(t, self.warmup_steps), "float32") / self.warmup_steps
        return self.initial_learning_rate * progress(t, self.warmup_steps) * ops.rsqrt(late)
