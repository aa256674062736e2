"""Scale-invariant sparsity."""

from keras import ops

from keras_gdx.registry import register
from keras_gdx.regularizers.base import Penalty
from keras_gdx.regularizers.math import TINY, wide

__all__ = ["HoyerSparsity"]


@register
class HoyerSparsity(Penalty):
    r"""Makes weights sparse without making them small.

    $$R(W) = \lambda \frac{(\sum_i |w_i|)^2}{\sum_i w_i^2}$$

    It ranges from $\lambda$, for a single nonzero weight, to $\lambda n$ for $n$ equal weights,
    and does not depend on the scale of the weights. If all weights are zero, value and gradient
    are 0.

    Args:
        factor: Number >= 0, the strength $\lambda$.

    Raises:
        ValueError: If `factor` is negative.

    Example:
        >>> from keras_gdx.regularizers import HoyerSparsity
        >>> regularizer = HoyerSparsity(0.5)
        >>> print(float(regularizer([3.0, -3.0, 0.0, 3.0])))
        1.5

    Source: arXiv:1908.09979, Yang 2019

    Verified against: closed form in NumPy
    """

    def __call__(self, w):
        w = wide(w)
        # Value and gradient do not depend on the scale, so normalize it to 1.
        largest = ops.stop_gradient(ops.max(ops.abs(w)))
        some = largest > TINY
        w = w / ops.where(some, largest, 1.0)
        squares = ops.where(some, ops.sum(ops.square(w)), 1.0)
        return self.factor * ops.where(some, ops.square(ops.sum(ops.abs(w))) / squares, 0.0)
