"""Spectral norm penalty."""

from keras import ops

from keras_gdx.registry import register
from keras_gdx.regularizers.base import Penalty
from keras_gdx.regularizers.math import as_matrix, directions

__all__ = ["SpectralPenalty"]


@register
class SpectralPenalty(Penalty):
    r"""Penalizes the largest singular value, and so the Lipschitz constant of the layer.

    $$R(W) = \frac{\lambda}{2} \sigma_1^2, \qquad
      \frac{\partial R}{\partial W} = \lambda \sigma_1 u_1 v_1^\top$$

    with $W$ the kernel as a matrix (inputs, outputs). It computes an exact singular value
    decomposition in every step: use it for kernels up to about 1,000 wide.

    Args:
        factor: Number >= 0, the strength $\lambda$.

    Raises:
        ValueError: If `factor` is negative.

    Example:
        >>> from keras_gdx.regularizers import SpectralPenalty
        >>> regularizer = SpectralPenalty(0.5)
        >>> print(round(float(regularizer([[2.0, 0.0], [0.0, 1.0]])), 5))
        1.0

    Source: arXiv:1705.10941, Yoshida and Miyato 2017

    Verified against: closed form in NumPy
    """

    def __call__(self, w):
        w = as_matrix(w)
        _, _, right = directions(w)
        return 0.5 * self.factor * ops.sum(ops.square(ops.matmul(w, right[:, :1])))
