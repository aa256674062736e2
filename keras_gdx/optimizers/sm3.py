"""SM3: the square root of minima of sums of squared maxima."""

from functools import reduce
from typing import Unpack

from keras import ops

from keras_gdx.arguments import DecayRate, LearningRate, NonNegative
from keras_gdx.math import ema
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import register

__all__ = ["SM3"]

AXES = 8  # of a variable with more, the others have no vector


def _length(axis):
    """The shape of an axis' vector; a scalar has one axis, without length."""
    return lambda shape: shape[axis : axis + 1] if axis < max(len(shape), 1) else None


@register
class SM3(Optimizer):
    r"""Adagrad whose second moment is stored as one vector per axis.

    With $v_k$ the vector of axis $k$ and $i_k$ the index of entry $i$ along it,

    $$\nu_i = \min_k v_k(i_k) + g_i^2, \quad v_k(j) \leftarrow \max_{i_k = j} \nu_i, \quad
      m \leftarrow \mu m + (1-\mu) \frac{g}{\sqrt{\nu + \epsilon}}, \quad u = m$$

    (SM3-II). For large embeddings and language models whose optimizer state would not fit in
    memory. Like Adagrad it never forgets, so a warmup suits it and a decay is less important.

    Args:
        learning_rate: See `Optimizer`, as for all options not named here.
        momentum: Number in [0, 1) or schedule, $\mu$.
        epsilon: Number >= 0 or schedule, added inside the root. (The paper has none.)
        **kwargs: The options of `Optimizer`.

    Memory: 4 bytes per parameter (`momentum`), and 4 bytes per index of each axis; without
    momentum only these, about 0.008 bytes per parameter of a 1024 x 1024 matrix.

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.SM3(momentum=0.0)
        >>> optimizer.bytes_per_parameter((1024, 1024))
        0.0078125

    Source: arXiv:1901.11150, Anil et al. 2019
    Verified against: optax 0.2.8 sm3, NumPy
    """

    elementwise = False
    slots = (
        Slot("momentum", when="momentum"),
        *(Slot(f"axis_{k}", shape=_length(k), signed=False) for k in range(AXES)),
    )

    def __init__(
        self,
        learning_rate: LearningRate = 0.1,
        *,
        momentum: DecayRate = 0.9,
        epsilon: NonNegative = 1e-8,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.momentum = momentum
        self.epsilon = epsilon

    def direction(self, h, g, w, m, *axes):
        rank = len(g.shape)
        bounds = [
            ops.reshape(v, [-1 if i == k else 1 for i in range(rank)])
            for k, v in enumerate(axes)
            if v is not None
        ]
        nu = reduce(ops.minimum, bounds) + g * g
        u = g * ops.where(nu > 0, ops.rsqrt(nu + h.epsilon), 0.0)
        m = ema(m, u, h.momentum)
        return m, m, *(v if v is None else _largest(nu, k) for k, v in enumerate(axes))


def _largest(nu, k):
    others = [i for i in range(len(nu.shape)) if i != k]
    return ops.max(nu, axis=others) if others else nu
