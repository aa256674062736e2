"""The epsilon of Keras' Adam."""

from typing import Annotated

from annotated_types import Interval
from keras import ops

from keras_gdx.arguments import NonNegativeFloat
from keras_gdx.math import bias_correction
from keras_gdx.registry import register
from keras_gdx.schedules.base import Schedule

__all__ = ["KerasEpsilon"]


@register
class KerasEpsilon(Schedule):
    r"""Acts as `epsilon` in our `Adam` as the number does in Keras'.

    $$\epsilon_t = \frac{\epsilon}{\sqrt{1 - \beta_2^{t+1}}}$$

    because Keras adds it before the bias correction of the second moment.

    Args:
        epsilon: Number >= 0, $\epsilon$.
        beta_2: Number in [0, 1), $\beta_2$ of the optimizer.

    Example:
        >>> from keras_gdx import optimizers
        >>> from keras_gdx.schedules import KerasEpsilon
        >>> schedule = KerasEpsilon(1e-7, beta_2=0.99)
        >>> optimizer = optimizers.Adam(1e-3, beta_2=0.99, epsilon=schedule)
        >>> print(schedule.sample(2) / 1e-7)
        [10.         7.0888124]

    Source: as in `keras.optimizers.Adam`
    Verified against: NumPy
    """

    def __init__(
        self,
        epsilon: NonNegativeFloat = 1e-7,
        beta_2: Annotated[float, Interval(ge=0, lt=1)] = 0.999,
    ):
        self.epsilon = epsilon
        self.beta_2 = beta_2

    def __call__(self, t):
        return self.epsilon / ops.sqrt(bias_correction(self.beta_2, ops.cast(t, "float32") + 1))
