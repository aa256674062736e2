"""Group lasso."""

import math

import keras
from keras import ops

from keras_gdx.arguments import NonNegativeFloat
from keras_gdx.config import Configured
from keras_gdx.registry import register
from keras_gdx.regularizers.math import power, wide

__all__ = ["GroupLasso"]


@register
class GroupLasso(Configured, keras.regularizers.Regularizer):
    r"""Drives complete groups of weights to zero: units, channels or rows of an embedding.

    A group is a slice along `axis`: the weights to one output unit (`-1`), the weights
    from one input unit (`-2`), the row of one token (`0` of an embedding). The factor
    $\sqrt{|g|}$ makes the penalty comparable between groups of different size.

    $$R(W) = \lambda \sum_g \sqrt{|g|} \, \lVert w_g \rVert_2, \qquad
      \frac{\partial R}{\partial w_g} = \lambda \sqrt{|g|} \,
      \frac{w_g}{\lVert w_g \rVert_2}$$

    The gradient of a group that is zero is 0, so the group stays zero.

    Args:
        factor: Number >= 0, the strength $\lambda$.
        axis: Integer, the axis with one group per index.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> from keras_gdx.regularizers import GroupLasso
        >>> regularizer = GroupLasso(factor=0.5)
        >>> print(float(regularizer([[3.0, 0.0]] * 4)))  # 0.5 * sqrt(4) * norm of four 3s
        6.0

    Source: arXiv:1607.00485, Scardapane 2016; Yuan and Lin 2006

    Verified against: closed form in NumPy
    """

    def __init__(self, factor: NonNegativeFloat = 0.01, axis: int = -1):
        self.factor = factor
        self.axis = axis

    def __call__(self, w):
        w = ops.moveaxis(wide(w), self.axis, -1)
        groups = ops.reshape(w, (-1, w.shape[-1]))
        norms = power(ops.sum(groups * groups, axis=0), 0.5)
        return self.factor * math.sqrt(groups.shape[0]) * ops.sum(norms)
