"""Adafactor's relative step size."""

from keras import ops

from keras_gdx.arguments import PositiveFloat
from keras_gdx.registry import register
from keras_gdx.schedules.base import Schedule

__all__ = ["RelativeStep"]


@register
class RelativeStep(Schedule):
    r"""Inverse square-root decay with an upper bound, the default of `Adafactor`.

    $$\eta_t = \min\left(m, \frac{1}{\sqrt{t + 1}}\right)$$

    Args:
        maximum: Number > 0, the upper bound $m$, reached in the first $1/m^2$ updates.

    Raises:
        ValueError: If `maximum` is not a number > 0.

    Example:
        >>> import keras_gdx
        >>> schedule = keras_gdx.schedules.RelativeStep(0.5)
        >>> [round(float(schedule(t)), 3) for t in (0, 3, 15)]
        [0.5, 0.5, 0.25]

    Source: arXiv:1804.04235, Shazeer and Stern 2018
    Verified against: closed form in NumPy
    """

    def __init__(self, maximum: PositiveFloat = 1e-2):
        self.maximum = maximum

    def __call__(self, step):
        return ops.minimum(self.maximum, ops.rsqrt(ops.cast(step, "float32") + 1))
