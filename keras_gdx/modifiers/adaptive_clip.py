"""Adaptive gradient clipping."""

from keras import ops

from keras_gdx.arguments import Positive
from keras_gdx.modifiers.base import Modifier
from keras_gdx.registry import register

__all__ = ["AdaptiveClip"]


@register
class AdaptiveClip(Modifier):
    r"""Clips the gradient of every output unit in proportion to the norm of its weights.

    $$g_i \leftarrow g_i \min\left(1, \lambda
      \frac{\max(\lVert w_i \rVert, \epsilon)}{\lVert g_i \rVert}\right)$$

    where $i$ is an output unit: the last axis of a kernel. A vector is one unit.

    Args:
        clipping: Number > 0 or schedule, $\lambda$.
        epsilon: Number > 0 or schedule: lower bound of the norm of the weights.

    Example:
        >>> import keras_gdx
        >>> clip = keras_gdx.modifiers.AdaptiveClip(0.02)
        >>> optimizer = keras_gdx.optimizers.SGD(0.1, before=[clip])

    Source: arXiv:2102.06171, Brock et al. 2021
    Verified against: optax 0.2.8 adaptive_grad_clip, NumPy
    """

    sides = ("before",)
    elementwise = False

    def __init__(self, clipping: Positive = 0.01, epsilon: Positive = 1e-3):
        self.clipping = clipping
        self.epsilon = epsilon

    def __call__(self, h, x, g, w):
        axes = tuple(range(len(x.shape) - 1)) or None  # a vector is one unit
        most = h.clipping * ops.maximum(_length(w, axes), h.epsilon)
        length = _length(x, axes)
        return x * ops.where(length > most, most / ops.maximum(length, 1e-6), 1.0)


def _length(x, axes):
    return ops.sqrt(ops.sum(x * x, axis=axes, keepdims=True))
