"""Spectral restricted isometry penalty."""

from keras import ops

from keras_gdx.registry import register
from keras_gdx.regularizers.base import Penalty
from keras_gdx.regularizers.math import as_matrix, directions

__all__ = ["SRIP"]


@register
class SRIP(Penalty):
    r"""Moves the singular value that is farthest from 1 towards 1.

    $$R(W) = \lambda \, \sigma_{\max}(W^\top W - I) = \lambda \max_i |\sigma_i^2 - 1|$$

    with $W$ the kernel as a matrix (inputs, outputs); with more outputs than inputs some
    $\sigma_i$ are 0. It constrains training less than `SoftOrthogonal`. It computes an exact
    singular value decomposition in every step: use it for kernels up to about 1,000 wide.

    Args:
        factor: Number >= 0, the strength $\lambda$.

    Raises:
        ValueError: If `factor` is negative.

    Example:
        >>> from keras_gdx.regularizers import SRIP
        >>> regularizer = SRIP(0.5)
        >>> print(round(float(regularizer([[2.0, 0.0], [0.0, 1.0]])), 5))
        1.5

    Source: arXiv:1810.09102, Bansal 2018

    Verified against: closed form in NumPy
    """

    def __call__(self, w):
        w = as_matrix(w)
        _, _, right = directions(w)
        squares = ops.sum(ops.square(ops.matmul(w, right)), axis=0)
        farthest = ops.maximum(squares[0] - 1.0, 1.0 - squares[-1])
        wide = w.shape[1] > w.shape[0]
        return self.factor * (ops.maximum(farthest, 1.0) if wide else farthest)
