"""Clipping of the gradient by its root mean square."""

from keras import ops

from keras_gdx.arguments import Positive
from keras_gdx.math import rms
from keras_gdx.modifiers.base import Modifier
from keras_gdx.registry import register

__all__ = ["ClipByBlockRMS"]


@register
class ClipByBlockRMS(Modifier):
    r"""Scales a variable's gradient down if its root mean square exceeds a threshold.

    $$g \leftarrow g / \max(1, \operatorname{rms}(g) / d)$$

    Unlike `clipnorm`, the limit does not depend on the number of entries. `UpdateClip` does the
    same with the direction.

    Args:
        threshold: Number > 0 or schedule, $d$.

    Example:
        >>> import keras_gdx
        >>> clip = keras_gdx.modifiers.ClipByBlockRMS(1.0)
        >>> optimizer = keras_gdx.optimizers.SGD(0.1, before=[clip])

    Source: arXiv:1804.04235, Shazeer and Stern 2018
    Verified against: optax 0.2.8 clip_by_block_rms, NumPy
    """

    sides = ("before",)
    elementwise = False

    def __init__(self, threshold: Positive = 1.0):
        self.threshold = threshold

    def __call__(self, h, x, g, w):
        return x / ops.maximum(1.0, rms(x) / h.threshold)
