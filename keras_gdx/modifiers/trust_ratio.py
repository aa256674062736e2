"""Layer-wise trust ratio."""

from keras_gdx.math import norm, ratio
from keras_gdx.modifiers.base import Modifier
from keras_gdx.registry import register

__all__ = ["TrustRatio"]


@register
class TrustRatio(Modifier):
    r"""Scales the direction of each variable to the norm of its weights.

    $$u \leftarrow u\, \lVert w \rVert / \lVert u \rVert$$

    It leaves the direction unchanged where either norm is zero.

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.SGD(0.1, after=[keras_gdx.modifiers.TrustRatio()])

    Source: arXiv:1904.00962, You et al. 2020
    Verified against: optax 0.2.8 scale_by_trust_ratio, NumPy
    """

    sides = ("after",)
    elementwise = False

    def __call__(self, h, x, g, w):
        return x * ratio(norm(w), norm(x))
