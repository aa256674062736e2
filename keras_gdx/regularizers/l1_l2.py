"""L1, L2 and elastic net."""

import keras
from keras import ops

from keras_gdx.arguments import NonNegativeFloat
from keras_gdx.config import Configured
from keras_gdx.registry import register
from keras_gdx.regularizers.math import wide

__all__ = ["L1", "L1L2", "L2"]


@register
class L1L2(Configured, keras.regularizers.Regularizer):
    r"""Elastic net: the sum of the L1 and L2 penalties.

    $$R(W) = \lambda_1 \sum_i |w_i| + \lambda_2 \sum_i w_i^2$$

    As Keras' own, but 16-bit weights are summed in float32. Adaptive optimizers such as Adam
    normalize the penalty's gradient; use their `weight_decay` instead.

    Args:
        l1: Number >= 0, $\lambda_1$.
        l2: Number >= 0, $\lambda_2$.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> from keras_gdx.regularizers import L1L2
        >>> regularizer = L1L2(l1=0.5, l2=0.25)
        >>> print(float(regularizer([2.0, -4.0])))
        8.0

    Source: Zou and Hastie 2005, J. R. Stat. Soc. B 67(2)

    Verified against: Keras, closed form in NumPy
    """

    def __init__(self, l1: NonNegativeFloat = 0.0, l2: NonNegativeFloat = 0.0):
        self.l1 = l1
        self.l2 = l2

    def __call__(self, w):
        w = wide(w)
        return self.l1 * ops.sum(ops.abs(w)) + self.l2 * ops.sum(ops.square(w))


@register
class L1(L1L2):
    r"""Drives individual weights to zero.

    $$R(W) = \lambda_1 \sum_i |w_i|$$

    Gradient steps oscillate around zero; for exact zeros use `constraints.SoftThreshold`.

    Args:
        l1: Number >= 0, $\lambda_1$.

    Raises:
        ValueError: If `l1` is negative.

    Example:
        >>> from keras_gdx.regularizers import L1
        >>> regularizer = L1(0.5)
        >>> print(float(regularizer([2.0, -4.0])))
        3.0

    Source: Tibshirani 1996, J. R. Stat. Soc. B 58(1)

    Verified against: Keras, closed form in NumPy
    """

    def __init__(self, l1: NonNegativeFloat = 0.01):
        super().__init__(l1=l1)


@register
class L2(L1L2):
    r"""Keeps weights small.

    $$R(W) = \lambda_2 \sum_i w_i^2$$

    Args:
        l2: Number >= 0, $\lambda_2$. (Its gradient is $2 \lambda_2 w$.)

    Raises:
        ValueError: If `l2` is negative.

    Example:
        >>> from keras_gdx.regularizers import L2
        >>> regularizer = L2(0.25)
        >>> print(float(regularizer([2.0, -4.0])))
        5.0

    Source: Hoerl and Kennard 1970, Technometrics 12(1)

    Verified against: Keras, closed form in NumPy
    """

    def __init__(self, l2: NonNegativeFloat = 0.01):
        super().__init__(l2=l2)
