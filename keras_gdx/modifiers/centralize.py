"""Gradient centralization."""

from keras import ops

from keras_gdx.modifiers.base import Modifier
from keras_gdx.registry import register

__all__ = ["Centralize"]


@register
class Centralize(Modifier):
    r"""Subtracts from the gradient of every output unit its mean over the inputs.

    $$g \leftarrow g - \operatorname{mean}_{\text{all axes but the last}}(g)$$

    It applies to matrices and convolution kernels; vectors and scalars are unchanged. As in the
    authors' code, use it `before` the rule, or `after` it to center the direction. For SGD with
    momentum both give the same result; for Adam, only `after` makes the mean of the step zero.

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.SGD(0.1, before=[keras_gdx.modifiers.Centralize()])

    Source: arXiv:2004.01461, Yong et al. 2020
    Verified against: optax 0.2.8 centralize (given kernels with the outputs first), NumPy
    """

    sides = ("before", "after")
    elementwise = False

    def __call__(self, h, x, g, w):
        if len(x.shape) < 2:
            return x
        return x - ops.mean(x, axis=tuple(range(len(x.shape) - 1)), keepdims=True)
