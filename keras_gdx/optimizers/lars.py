"""LARS: layer-wise adaptive rates for large batches."""

from collections.abc import Sequence
from typing import Unpack

from keras import ops

from keras_gdx.arguments import DecayRate, LearningRate, NonNegative
from keras_gdx.math import norm
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import register

__all__ = ["LARS"]


@register
class LARS(Optimizer):
    r"""Momentum with layer-wise rates in proportion to the weights, for large batches.

    $$r = g + \lambda w, \qquad
      m \leftarrow \mu m + \eta\, c\, \frac{\lVert w \rVert}{\lVert r \rVert}\, r, \qquad
      w \leftarrow w - m$$

    The weight decay is inside the trust ratio, and the learning rate inside the momentum, so that
    a new rate applies gradually; at rate 0 the weights rest. The factor
    $c \lVert w \rVert / \lVert r \rVert$ is 1 where either norm is zero. The paper has
    $\lVert g \rVert + \lambda \lVert w \rVert$ in its denominator, optax the norm of the sum, as
    here. Made for convolutional networks and batches of thousands; for transformers use `LAMB`.

    Args:
        learning_rate: $\eta$; see `Optimizer`, as for all options not named here.
        momentum: Number in [0, 1) or schedule, $\mu$.
        trust_coefficient: Number >= 0 or schedule, $c$.
        nesterov: If true, uses Nesterov momentum.
        no_adaptation: Regular expressions: variables whose path matches one have factor 1.
        **kwargs: The options of `Optimizer`. `weight_decay` is $\lambda$.

    Memory: 4 bytes per parameter (`momentum`).

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.LARS(1.0, weight_decay=1e-4, no_adaptation=["bias"])

    Source: arXiv:1708.03888, You et al. 2017
    Verified against: optax 0.2.8 lars, NumPy
    """

    slots = (Slot("momentum", when="momentum"),)
    masks = ("no_adaptation",)
    elementwise = False

    def __init__(
        self,
        learning_rate: LearningRate = 0.1,
        *,
        momentum: DecayRate = 0.9,
        trust_coefficient: NonNegative = 0.001,
        nesterov: bool = False,
        no_adaptation: Sequence[str] = (),
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.momentum = momentum
        self.trust_coefficient = trust_coefficient
        self.nesterov = nesterov
        self.no_adaptation = no_adaptation

    def direction(self, h, g, w, m):
        r = super().decay(h, w, g)
        if not h.no_adaptation:
            a, b = norm(w), norm(r)
            both = (a > 0) & (b > 0)
            r = r * ops.where(both, h.trust_coefficient * a / ops.where(both, b, 1.0), 1.0)
        moved = h.lr * r
        m = h.momentum * m + moved
        moved = moved + h.momentum * m if h.nesterov else m
        return moved / ops.maximum(h.lr, 1e-12), m

    def decay(self, h, w, u):
        return u
