"""Normalization of the step by its global norm."""

from keras_gdx.math import norm
from keras_gdx.modifiers.base import Modifier
from keras_gdx.registry import register

__all__ = ["NormalizeByGlobalNorm"]

TINY = 1e-6


@register
class NormalizeByGlobalNorm(Modifier):
    r"""Divides the directions of all variables by their common norm.

    $$u \leftarrow \frac{u}{\lVert (u_1, u_2, \ldots) \rVert + 10^{-6}}$$

    The learning rate is then the length of the step over all weights, apart from weight decay. In
    `before`, it divides the gradients. After the rule, the directions are computed twice.

    Example:
        >>> import keras_gdx
        >>> normalize = keras_gdx.modifiers.NormalizeByGlobalNorm()
        >>> optimizer = keras_gdx.optimizers.SGD(0.1, momentum=0.9, after=[normalize])

    Source: arXiv:1507.02030, Hazan et al. 2015 (normalized gradient descent)
    Verified against: optax 0.2.8 normalize_by_update_norm, NumPy
    """

    sides = ("before", "after")

    def global_stats(self, h, xs):
        return ({"length": norm(*xs) + TINY},)

    def __call__(self, h, x, g, w):
        return x / h.length
