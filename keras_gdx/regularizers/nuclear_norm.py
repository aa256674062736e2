"""Nuclear norm."""

from keras import ops

from keras_gdx.registry import register
from keras_gdx.regularizers.base import Penalty
from keras_gdx.regularizers.math import as_matrix, directions

__all__ = ["NuclearNorm"]


@register
class NuclearNorm(Penalty):
    r"""Drives singular values to zero, so that kernels can be factorized with low rank.

    $$R(W) = \lambda \sum_i \sigma_i, \qquad
      \frac{\partial R}{\partial W} = \lambda \sum_{\sigma_i > 0} u_i v_i^\top$$

    with $W$ the kernel as a matrix (inputs, outputs). It computes an exact singular value
    decomposition in every step: use it for kernels up to about 1,000 wide.

    Args:
        factor: Number >= 0, the strength $\lambda$.

    Raises:
        ValueError: If `factor` is negative.

    Example:
        >>> from keras_gdx.regularizers import NuclearNorm
        >>> regularizer = NuclearNorm(0.5)
        >>> print(round(float(regularizer([[3.0, 0.0], [0.0, 1.0]])), 5))
        2.0

    Source: Fazel 2002, Matrix Rank Minimization with Applications

    Verified against: closed form in NumPy
    """

    def __call__(self, w):
        w = as_matrix(w)
        left, values, right = directions(w)
        least = ops.max(values) * (max(w.shape) * 1.2e-7)  # smaller ones are rounding errors
        present = ops.cast(values > least, w.dtype)
        polar = ops.matmul(left * present, ops.transpose(right))
        return self.factor * ops.sum(w * polar)
