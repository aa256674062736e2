"""Adagrad."""

from typing import Unpack

import keras
from keras import ops

from keras_gdx.arguments import LearningRate, NonNegative, NonNegativeFloat
from keras_gdx.constraints.soft_threshold import SoftThreshold
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import register

__all__ = ["Adagrad"]


@register
class Adagrad(Optimizer):
    r"""Gradient divided by the root of the sum of all its squares so far.

    $$n \leftarrow n + g^2, \qquad u = \frac{g}{\sqrt{n + \epsilon}}$$

    For rare features and embedding tables: rare entries take large steps. Its steps only ever
    shrink, so for deep networks Adam is better.

    With `proximal`, which stands for a penalty $\phi$, every update ends with the proximal step
    under the rule's own metric, as in TensorFlow Addons' ProximalAdagrad. With $a$ the step size
    of each entry,

    $$a = \frac{\eta}{\sqrt{n + \epsilon}}, \qquad
      w \leftarrow \arg\min_x \; \phi(x) + \sum \frac{(x - w)^2}{2a}
      = a \operatorname{prox}_\phi(w / a)$$

    so `SoftThreshold(l1)` is the penalty `l1 * sum(|w|)`: each weight moves towards zero by
    `a * l1` and stops there. It has its effect after weight decay.

    Args:
        learning_rate: $\eta$; see `Optimizer`, as for all options not named here.
        initial_accumulator_value: Number >= 0: first value of $n$.
        epsilon: Number >= 0 or schedule, added inside the root.
        proximal: `SoftThreshold`, Keras' `NonNeg` or `None`.
        rowwise: If true, $n$ is one number per row, that is per index of the first axis, and
            adds the mean of the row's squares: for large embedding tables.
        **kwargs: The options of `Optimizer`.

    Memory: 4 bytes per parameter (`accumulator`); with `rowwise`, 4 bytes per row.

    Example:
        >>> import keras_gdx
        >>> sparse = keras_gdx.constraints.SoftThreshold(1e-3)
        >>> optimizer = keras_gdx.optimizers.Adagrad(0.1, proximal=sparse)

    Source: Duchi, Hazan and Singer 2011, JMLR 12
    Verified against: optax 0.2.8 adagrad, NumPy
    """

    by_rows = True

    def __init__(
        self,
        learning_rate: LearningRate = 1e-2,
        *,
        initial_accumulator_value: NonNegativeFloat = 0.1,
        epsilon: NonNegative = 1e-7,
        proximal: SoftThreshold | keras.constraints.NonNeg | None = None,
        rowwise: bool = False,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon
        self.proximal = proximal
        self.rowwise = rowwise

    @property
    def elementwise(self):
        """Whether every entry has an accumulator of its own."""
        return not self.rowwise

    @property
    def slots(self):
        """The accumulator, for each entry or for each row."""
        shape = (lambda s: s[:1]) if self.rowwise else tuple
        return (Slot("accumulator", self.initial_accumulator_value, shape, signed=False),)

    def direction(self, h, g, w, n):
        n = n + (_row_means(g * g) if h.rowwise else g * g)
        return g * _inverse_root(h, n, len(g.shape)), n

    def descend(self, h, w, u, n):
        w = w - h.lr * u
        if h.proximal is None:
            return w, n
        a = h.lr * _inverse_root(h, n, len(w.shape))
        moved = a > 0  # not with a learning rate of 0
        return ops.where(moved, a * h.proximal(w / ops.where(moved, a, 1.0)), w), n


def _row_means(x):
    axes = range(1, len(x.shape))
    return ops.mean(x, axis=tuple(axes)) if axes else x


def _inverse_root(h, n, rank):
    """One over the root for each entry; 0 where there was no gradient yet."""
    if len(n.shape) < rank:
        n = ops.reshape(n, (-1, *(1 for _ in range(rank - 1))))
    return ops.where(n > 0, ops.rsqrt(n + h.epsilon), 0.0)
