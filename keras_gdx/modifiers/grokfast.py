"""Grokfast."""

from keras_gdx.arguments import DecayRate, NonNegative
from keras_gdx.math import ema, started
from keras_gdx.modifiers.base import Modifier
from keras_gdx.optimizers.slots import UNSET, Slot
from keras_gdx.registry import register

__all__ = ["Grokfast"]


@register
class Grokfast(Modifier):
    r"""Amplifies the slowly varying part of the gradient.

    $$\bar g \leftarrow \alpha \bar g + (1 - \alpha) g, \qquad g \leftarrow g + \lambda \bar g$$

    $\bar g$ starts as the variable's first gradient, as in the authors' code, so the first
    gradient is already multiplied by $1 + \lambda$.

    Args:
        alpha: Number in [0, 1) or schedule: decay rate of the EMA $\bar g$.
        lam: Number >= 0 or schedule, $\lambda$: weight of the EMA that is added.

    Memory: 4 bytes per parameter (`average`).

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.AdamW(1e-3, before=[keras_gdx.modifiers.Grokfast()])

    Source: arXiv:2405.20233, Lee et al. 2024
    Verified against: NumPy
    """

    sides = ("before",)
    slots = (Slot("average", init=UNSET),)

    def __init__(self, alpha: DecayRate = 0.98, lam: NonNegative = 2.0):
        self.alpha = alpha
        self.lam = lam

    def __call__(self, h, x, g, w, average):
        average = ema(started(average, x), x, h.alpha)
        return x + h.lam * average, average
