"""FTRL-Proximal: follow the regularized leader."""

from typing import Annotated, Unpack

from annotated_types import Le
from keras import ops

from keras_gdx.arguments import LearningRate, NonNegative, NonNegativeFloat, Number
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import register

__all__ = ["Ftrl"]


@register
class Ftrl(Optimizer):
    r"""Follow the regularized leader: weights that L1 sets to exactly zero, for sparse features.

    With $n' = n + g^2$ and $p$ the negative of `learning_rate_power`,

    $$z \leftarrow z + g - \frac{n'^p - n^p}{\eta} w, \qquad
      w \leftarrow \frac{\operatorname{clip}(z, -\lambda_1, \lambda_1) - z}
      {(n'^p + \beta) / \eta + 2 \lambda_2}, \qquad n \leftarrow n'$$

    For linear models over very many sparse features; deep networks train better with Adam. As in
    Keras, $z$ starts at 0, so the first update forgets a part of the initial weights. Weight decay
    acts after the update. While the learning rate is 0, nothing changes.

    Args:
        learning_rate: $\eta$; see `Optimizer`, as for all options not named here.
        learning_rate_power: Number <= 0 or schedule. 0: a constant learning rate.
        initial_accumulator_value: Number >= 0: first value of $n$.
        l1: Number >= 0 or schedule, $\lambda_1$: strength of L1.
        l2: Number >= 0 or schedule, $\lambda_2$: strength of L2.
        beta: Number >= 0 or schedule, $\beta$ of the paper: makes first steps smaller.
        **kwargs: The options of `Optimizer`.

    Memory: 8 bytes per parameter (`accumulator`, `linear`).

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.Ftrl(0.05, l1=1e-3)

    Source: McMahan et al. 2013, KDD
    Verified against: keras 3.15.1 Ftrl, NumPy
    """

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        *,
        learning_rate_power: Annotated[Number, Le(0)] = -0.5,
        initial_accumulator_value: NonNegativeFloat = 0.1,
        l1: NonNegative = 0.0,
        l2: NonNegative = 0.0,
        beta: NonNegative = 0.0,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = initial_accumulator_value
        self.l1 = l1
        self.l2 = l2
        self.beta = beta

    @property
    def slots(self):
        """The sum of squares and the linear term."""
        return (
            Slot("accumulator", self.initial_accumulator_value, signed=False),
            Slot("linear", exact=True),
        )

    def direction(self, h, g, w, n, z):
        moves = h.lr > 0
        grown = n + g * g
        change = _root(h, grown) - _root(h, n)
        n = ops.where(moves, grown, n)
        z = ops.where(moves, z + g - change / _rate(h) * w, z)
        return _plain(h, w, n, z), n, z

    def descend(self, h, w, u, n, z):
        # w - lr * u, but so that L1 gives exact zeros
        changed = u - _plain(h, w, n, z)
        return _leader(h, w, n, z) - h.lr * changed, n, z


def _root(h, n):
    """The power of `n`; a square root takes a tenth of the time of another power."""
    p = -h.learning_rate_power
    return ops.cond(p == 0.5, lambda: ops.sqrt(n), lambda: n**p)


def _rate(h):
    return ops.where(h.lr > 0, h.lr, 1.0)


def _leader(h, w, n, z):
    """The weights that minimize all losses so far; `w` before the first gradient."""
    curvature = (_root(h, n) + h.beta) / _rate(h) + 2 * h.l2
    known = (h.lr > 0) & (curvature > 0)
    found = -ops.sign(z) * ops.maximum(ops.abs(z) - h.l1, 0.0) / ops.where(known, curvature, 1.0)
    return ops.where(known, found, w)


def _plain(h, w, n, z):
    return (w - _leader(h, w, n, z)) / _rate(h)
