"""Huber penalty."""

import keras
from keras import ops

from keras_gdx.arguments import NonNegativeFloat, PositiveFloat
from keras_gdx.config import Configured
from keras_gdx.registry import register
from keras_gdx.regularizers.math import wide

__all__ = ["Huber"]


@register
class Huber(Configured, keras.regularizers.Regularizer):
    r"""Quadratic penalty for small weights, linear for large ones.

    $$R(W) = \lambda \sum_i \begin{cases} w_i^2 / 2 & |w_i| \le \delta \\
      \delta (|w_i| - \delta / 2) & \text{else} \end{cases}$$

    Args:
        factor: Number >= 0, the strength $\lambda$.
        delta: Number > 0, absolute weight at which it becomes linear.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> from keras_gdx.regularizers import Huber
        >>> regularizer = Huber(factor=1.0, delta=1.0)
        >>> print(float(regularizer([1.0, -3.0])))
        3.0

    Source: Huber 1964, Ann. Math. Statist. 35(1)

    Verified against: closed form in NumPy
    """

    def __init__(self, factor: NonNegativeFloat = 0.01, delta: PositiveFloat = 1.0):
        self.factor = factor
        self.delta = delta

    def __call__(self, w):
        size = ops.abs(wide(w))
        inner = ops.minimum(size, self.delta)
        return self.factor * ops.sum(inner * (size - 0.5 * inner))
