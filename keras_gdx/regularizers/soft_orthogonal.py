"""Soft orthogonality."""

from typing import Literal

from keras import ops

from keras_gdx.arguments import NonNegativeFloat
from keras_gdx.registry import register
from keras_gdx.regularizers.base import Penalty
from keras_gdx.regularizers.math import as_matrix

__all__ = ["SoftOrthogonal"]


@register
class SoftOrthogonal(Penalty):
    r"""Makes the weight vectors of the outputs approximately orthonormal.

    $$R(W) = \lambda \lVert W^\top W - I \rVert_F^2, \qquad
      \frac{\partial R}{\partial W} = 4 \lambda W (W^\top W - I)$$

    with $W$ the kernel, of any rank, as a matrix (inputs, outputs). `mode="rows"` uses the weight
    vectors of the inputs, $W W^\top$ instead of $W^\top W$. It cannot reach 0 if there are more
    columns than rows, or, with `"rows"`, more rows than columns.

    Args:
        factor: Number >= 0, the strength $\lambda$.
        mode: `"columns"` (outputs) or `"rows"` (inputs).

    Raises:
        ValueError: If `factor` is negative, or `mode` has another value.

    Example:
        >>> from keras_gdx.regularizers import SoftOrthogonal
        >>> regularizer = SoftOrthogonal(0.5)
        >>> print(float(regularizer([[1.0, 1.0], [0.0, 1.0]])))
        1.5

    Source: arXiv:1810.09102, Bansal 2018

    Verified against: closed form in NumPy
    """

    def __init__(
        self, factor: NonNegativeFloat = 0.01, mode: Literal["columns", "rows"] = "columns"
    ):
        super().__init__(factor)
        self.mode = mode

    def __call__(self, w):
        w = as_matrix(w)
        w = w if self.mode == "columns" else ops.transpose(w)
        gram = ops.matmul(ops.transpose(w), w)
        return self.factor * ops.sum(ops.square(gram - ops.eye(w.shape[1], dtype=w.dtype)))
