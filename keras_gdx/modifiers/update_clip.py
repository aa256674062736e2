"""Adafactor's update clipping."""

from keras import ops

from keras_gdx.arguments import Positive
from keras_gdx.math import rms
from keras_gdx.modifiers.base import Modifier
from keras_gdx.registry import register

__all__ = ["UpdateClip"]


@register
class UpdateClip(Modifier):
    r"""Scales a variable's direction down if its root mean square exceeds a threshold.

    $$u \leftarrow u / \max(1, \operatorname{rms}(u) / d)$$

    Args:
        threshold: Number > 0 or schedule, $d$.

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.AdamW(1e-3, after=[keras_gdx.modifiers.UpdateClip()])

    Source: arXiv:1804.04235, Shazeer and Stern 2018
    Verified against: optax 0.2.8 clip_by_block_rms, NumPy
    """

    sides = ("after",)
    elementwise = False

    def __init__(self, threshold: Positive = 1.0):
        self.threshold = threshold

    def __call__(self, h, x, g, w):
        return x / ops.maximum(1.0, rms(x) / h.threshold)
