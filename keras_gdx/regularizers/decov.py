"""Decorrelated features."""

from keras import ops

from keras_gdx.arguments import NonNegativeFloat
from keras_gdx.registry import register
from keras_gdx.regularizers.base import Penalty
from keras_gdx.regularizers.math import wide

__all__ = ["DeCov"]


@register
class DeCov(Penalty):
    r"""Decorrelates the units of a layer: an `activity_regularizer`.

    $$R(H) = \frac{\lambda}{2} \left(\lVert C \rVert_F^2 - \lVert \operatorname{diag} C
      \rVert_2^2\right)$$

    with $C$ the covariance of the outputs over the batch, of shape (units, units). The loss
    increases by exactly this value: Keras' division by the batch size is compensated.

    Args:
        factor: Number >= 0, the strength $\lambda$.

    Raises:
        ValueError: If `factor` is negative.

    Example:
        >>> from keras_gdx.regularizers import DeCov
        >>> regularizer = DeCov(1.0)
        >>> outputs = [[1.0, 1.0], [-1.0, -1.0]]  # covariance 1, and 2 examples
        >>> print(float(regularizer(outputs)))
        2.0

    Source: arXiv:1511.06068, Cogswell 2015

    Verified against: closed form in NumPy
    """

    def __init__(self, factor: NonNegativeFloat = 0.1):
        super().__init__(factor)

    def __call__(self, outputs):
        outputs = wide(outputs)
        examples = ops.shape(outputs)[0]
        x = ops.reshape(outputs, (examples, -1))
        x = x - ops.mean(x, axis=0, keepdims=True)
        count = ops.cast(examples, x.dtype)
        covariance = ops.matmul(ops.transpose(x), x) / count
        variances = ops.mean(ops.square(x), axis=0)
        off = ops.sum(ops.square(covariance)) - ops.sum(ops.square(variances))
        return 0.5 * self.factor * off * count
