"""Cautious updates."""

from keras import ops

from keras_gdx.modifiers.base import Modifier
from keras_gdx.registry import register

__all__ = ["Cautious"]


@register
class Cautious(Modifier):
    r"""Drops the entries of the direction that oppose the gradient.

    $$\phi = [u \odot g > 0], \qquad
      u \leftarrow u \odot \phi / \max(\operatorname{mean}(\phi), 10^{-3})$$

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.Lion(1e-4, after=[keras_gdx.modifiers.Cautious()])

    Source: arXiv:2411.16085, Liang et al. 2024
    Verified against: NumPy
    """

    sides = ("after",)
    elementwise = False

    def __call__(self, h, x, g, w):
        agrees = ops.cast(x * g > 0, x.dtype)
        return x * agrees / ops.maximum(ops.mean(agrees), 1e-3)
