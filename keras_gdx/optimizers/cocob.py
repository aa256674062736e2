"""COCOB: training as coin betting, without a learning rate."""

from typing import Unpack

from keras import ops

from keras_gdx.arguments import LearningRate, Positive
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import register

__all__ = ["COCOB"]


@register
class COCOB(Optimizer):
    r"""Coin betting: every weight bets on the sign of its next gradient; no learning rate.

    $$L \leftarrow \max(L, |g|), \quad G \leftarrow G + |g|, \quad
      R \leftarrow \max(R - g\, (w - w_0), 0), \quad \theta \leftarrow \theta - g$$

    $$w \leftarrow w_0 + \frac{\theta}{L \max(G + L, \alpha L)}\, (L + R)$$

    for each entry, with $L$ at least 1e-8. Use it as a baseline that needs no tuning; a tuned
    Adam is usually better, with less than half the memory.

    Args:
        learning_rate: Share of the way from the weights to those of the formula, 1 in the
            paper; see `Optimizer`, as for all options not named here.
        alpha: Number > 0 or schedule, $\alpha$: the first steps are at most $1 / \alpha$.
        **kwargs: The options of `Optimizer`. `weight_decay` is multiplied by the learning rate
            alone. It does not accumulate, as every update starts from $w_0$ again; as a
            penalty use an `L2` regularizer.

    Memory: 20 bytes per parameter (`start`, `largest`, `total`, `reward`, `bet`).

    Example:
        >>> import keras, keras_gdx
        >>> w = keras.Variable([1.0, 2.0])
        >>> keras_gdx.optimizers.COCOB().apply([[0.1, -30.0]], [w])
        >>> w.numpy()
        array([0.99, 2.01], dtype=float32)

    Source: arXiv:1705.07795, Orabona and Tommasi 2017
    Verified against: optax 0.2.8 contrib.cocob, NumPy
    """

    slots = (
        Slot("start", init="variable"),
        Slot("largest", signed=False),
        Slot("total", signed=False),
        Slot("reward", signed=False),
        "bet",
    )

    def __init__(
        self,
        learning_rate: LearningRate = 1.0,
        *,
        alpha: Positive = 100.0,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.alpha = alpha

    def direction(self, h, g, w, start, largest, total, reward, bet):
        size = ops.abs(g)
        largest = ops.maximum(ops.maximum(largest, size), 1e-8)
        total = total + size
        reward = ops.maximum(reward - g * (w - start), 0.0)
        bet = bet - g
        share = bet / (largest * ops.maximum(total + largest, h.alpha * largest))
        target = start + share * (largest + reward)
        return w - target, start, largest, total, reward, bet
