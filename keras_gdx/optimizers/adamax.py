"""Adamax."""

from typing import Unpack

from keras import ops

from keras_gdx.arguments import DecayRate, LearningRate, NonNegative
from keras_gdx.math import bias_correction, ema
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import register

__all__ = ["Adamax"]


@register
class Adamax(Optimizer):
    r"""Adam with the largest recent gradient in place of the root mean square.

    $$m \leftarrow \beta_1 m + (1-\beta_1) g, \quad v \leftarrow \max(\beta_2 v, |g| + \epsilon),
      \quad u = \frac{m}{(1-\beta_1^t)\, v}$$

    For gradients that are sparse or of very different sizes: no step exceeds the learning rate by
    much. As in optax, epsilon is inside the maximum (the paper has none, Keras adds it to $v$).

    Args:
        learning_rate: See `Optimizer`, as for all options not named here.
        beta_1: Number in [0, 1) or schedule: decay rate of the momentum. 0: no momentum.
        beta_2: Number in [0, 1) or schedule: decay rate of the largest gradient.
        epsilon: Number >= 0 or schedule, added to the gradient's magnitude (Keras' default is
            1e-7).
        **kwargs: The options of `Optimizer`.

    Memory: 8 bytes per parameter (`momentum`, `velocity`).

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.Adamax(2e-3)

    Source: arXiv:1412.6980, Kingma and Ba 2015
    Verified against: optax 0.2.8 adamax, NumPy
    """

    slots = (Slot("momentum", when="beta_1"), Slot("velocity", signed=False))

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        *,
        beta_1: DecayRate = 0.9,
        beta_2: DecayRate = 0.999,
        epsilon: NonNegative = 1e-8,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def prepare(self, h):
        return {"r1": 1 / bias_correction(h.beta_1, h.t)}

    def direction(self, h, g, w, m, v):
        m = ema(m, g, h.beta_1)
        v = ops.maximum(h.beta_2 * v, ops.abs(g) + h.epsilon)
        return m * h.r1 / v, m, v
