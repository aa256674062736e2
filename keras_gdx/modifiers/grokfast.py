"""Grokfast."""

from keras_gdx.math import ema
from keras_gdx.modifiers.base import Modifier
from keras_gdx.registry import register

__all__ = ["Grokfast"]


@register
class Grokfast(Modifier):
    r"""Amplifies the slow part of the gradient.

    $$\bar g \leftarrow \alpha \bar g + (1 - \alpha) g, \qquad g \leftarrow g + \lambda \bar g$$

    $\bar g$ starts at zero, so the amplification builds up over $1/(1-\alpha)$ updates; the
    authors' code starts it at the first gradient.

    Args:
        alpha: Number in [0, 1) or schedule: memory of the slow part.
        lam: Number >= 0 or schedule, $\lambda$: how much of it is added.

    Memory: 4 bytes per parameter (`average`).

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.AdamW(1e-3, before=[keras_gdx.modifiers.Grokfast()])

    Source: arXiv:2405.20233, Lee et al. 2024
    Verified against: NumPy
    """

    slots = ("average",)
    bounds = {"alpha": {"low": 0, "high": 1, "open_high": True}}

    def __init__(self, alpha=0.98, lam=2.0):
        self.alpha = alpha
        self.lam = lam

    def __call__(self, h, x, g, w, average):
        average = ema(average, x, h.alpha)
        return x + h.lam * average, average
