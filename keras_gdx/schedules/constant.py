"""A constant value."""

from keras import ops

from keras_gdx.registry import register
from keras_gdx.schedules.base import Schedule

__all__ = ["Constant"]


@register
class Constant(Schedule):
    r"""The same value at every update, for arithmetic and for use in `Sequential`.

    $$\eta_t = v$$

    Args:
        value: Number, $v$.

    Raises:
        ValueError: If `value` is not a finite number.

    Example:
        >>> from keras_gdx.schedules import Constant
        >>> schedule = Constant(0.5)
        >>> print(schedule.sample(3))
        [0.5 0.5 0.5]

    Source: by definition

    Verified against: optax
    """

    def __init__(self, value: float):
        self.value = value

    def __call__(self, t):
        return ops.full_like(t, self.value, dtype="float32")
