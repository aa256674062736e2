"""Sparse group lasso."""

import keras

from keras_gdx.arguments import NonNegativeFloat
from keras_gdx.config import Configured
from keras_gdx.registry import register
from keras_gdx.regularizers.group_lasso import GroupLasso
from keras_gdx.regularizers.l1_l2 import L1

__all__ = ["SparseGroupLasso"]


@register
class SparseGroupLasso(Configured, keras.regularizers.Regularizer):
    r"""Drives complete groups to zero, and individual weights within the other groups.

    $$R(W) = \lambda_1 \sum_i |w_i| + \lambda_g \sum_g \sqrt{|g|} \, \lVert w_g \rVert_2$$

    Args:
        l1: Number >= 0, $\lambda_1$.
        group: Number >= 0, $\lambda_g$.
        axis: Integer, the axis with one group per index, see `GroupLasso`.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> from keras_gdx.regularizers import SparseGroupLasso
        >>> regularizer = SparseGroupLasso(l1=0.1, group=0.5)
        >>> print(round(float(regularizer([[3.0, 0.0]] * 4)), 4))  # 0.1 * 12 + 0.5 * 12
        7.2

    Source: arXiv:1607.00485, Scardapane 2016; Simon 2013

    Verified against: closed form in NumPy
    """

    def __init__(self, l1: NonNegativeFloat = 0.01, group: NonNegativeFloat = 0.01, axis: int = -1):
        self.l1 = l1
        self.group = group
        self.axis = axis

    def __call__(self, w):
        return L1(self.l1)(w) + GroupLasso(self.group, self.axis)(w)
