"""The schedule of the original transformer."""

from keras import ops

from keras_gdx.arguments import NonNegativeFloat, PositiveInt, PositiveSteps
from keras_gdx.registry import register
from keras_gdx.schedules.base import Schedule

__all__ = ["Noam"]


@register
class Noam(Schedule):
    r"""Linear warmup, then inverse square-root decay, scaled by the width of the model.

    $$\eta_t = f d^{-1/2} \min\left((t + 1)^{-1/2}, (t + 1) W^{-3/2}\right)$$

    Args:
        d_model: Integer >= 1, $d$: width of the model.
        warmup_steps: Integer >= 1, $W$: updates until the peak.
        factor: Number >= 0, $f$.

    Raises:
        ValueError: If `d_model` or `warmup_steps` is not an integer >= 1, or `factor` is
            negative.

    Example:
        >>> from keras_gdx.schedules import Noam
        >>> schedule = Noam(d_model=4, warmup_steps=4)
        >>> print(schedule.sample(16)[[0, 3, 15]].round(4))
        [0.0625 0.25   0.125 ]

    Source: arXiv:1706.03762, Vaswani 2017, with the step number t + 1

    Verified against: NumPy
    """

    def __init__(
        self, d_model: PositiveInt, warmup_steps: PositiveSteps, factor: NonNegativeFloat = 1.0
    ):
        self.d_model = d_model
        self.warmup_steps = warmup_steps
        self.factor = factor

    def __call__(self, t):
        step = ops.cast(t, "float32") + 1.0
        value = ops.minimum(ops.rsqrt(step), step * self.warmup_steps**-1.5)
        return self.factor * self.d_model**-0.5 * value
