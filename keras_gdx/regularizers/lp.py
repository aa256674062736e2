"""Lp penalty."""

import keras
from keras import ops

from keras_gdx.arguments import NonNegativeFloat, PositiveFloat
from keras_gdx.config import Configured
from keras_gdx.registry import register
from keras_gdx.regularizers.math import power, wide

__all__ = ["Lp"]


@register
class Lp(Configured, keras.regularizers.Regularizer):
    r"""A power of the absolute weights, between and beyond L1 and L2.

    Compared with L2, powers below 2 penalize small weights more, powers above 2 large ones.
    Powers up to 1 drive small weights to zero; below 1 the gradient is unbounded near zero,
    and the penalty is not convex.

    $$R(W) = \frac{\lambda}{p} \sum_i |w_i|^p, \qquad
      \frac{\partial R}{\partial w_i} = \lambda \, |w_i|^{p - 1} \operatorname{sign} w_i$$

    The gradient at $w_i = 0$ is 0 for every $p$, so zero weights stay zero. `p=2` is
    `keras.regularizers.L2(factor / 2)`, `p=1` is `keras.regularizers.L1(factor)`.

    Args:
        p: Number > 0, the power.
        factor: Number >= 0, the strength $\lambda$.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> from keras_gdx.regularizers import Lp
        >>> regularizer = Lp(1.5, factor=0.3)
        >>> print(float(regularizer([[4.0, -1.0], [0.0, 1.0]])))
        2.0

    Source: Frank and Friedman 1993, Technometrics 35(2)

    Verified against: closed form in NumPy
    """

    def __init__(self, p: PositiveFloat, factor: NonNegativeFloat = 0.01):
        self.p = p
        self.factor = factor

    def __call__(self, w):
        return self.factor / self.p * ops.sum(power(ops.abs(wide(w)), self.p))
