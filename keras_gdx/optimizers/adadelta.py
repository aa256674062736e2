"""Adadelta."""

from typing import Unpack

from keras import ops

from keras_gdx.arguments import DecayRate, LearningRate, Positive
from keras_gdx.math import ema
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import register

__all__ = ["Adadelta"]


@register
class Adadelta(Optimizer):
    r"""Steps as large as recent steps were, in units of the weights: needs no learning rate.

    $$v \leftarrow \rho v + (1-\rho) g^2, \qquad
      u = \sqrt{\frac{d + \epsilon}{v + \epsilon}}\; g, \qquad
      d \leftarrow \rho d + (1-\rho) u^2$$

    Robust, but slow: it grows its first steps out of $\sqrt\epsilon$. A larger epsilon starts
    faster.

    Args:
        learning_rate: See `Optimizer`; 1 in the paper. (Keras' default is 0.001.)
        rho: Number in [0, 1) or schedule, $\rho$: decay rate of both mean squares.
        epsilon: Number > 0 or schedule, inside both roots (Keras' default is 1e-7).
        **kwargs: The options of `Optimizer`.

    Memory: 8 bytes per parameter (`velocity`, `delta`).

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.Adadelta(rho=0.95)

    Source: arXiv:1212.5701, Zeiler 2012
    Verified against: optax 0.2.8 adadelta, NumPy
    """

    slots = (Slot("velocity", signed=False), Slot("delta", signed=False))

    def __init__(
        self,
        learning_rate: LearningRate = 1.0,
        *,
        rho: DecayRate = 0.9,
        epsilon: Positive = 1e-6,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.rho = rho
        self.epsilon = epsilon

    def direction(self, h, g, w, v, d):
        v = ema(v, g * g, h.rho)
        u = ops.sqrt((d + h.epsilon) / (v + h.epsilon)) * g
        return u, v, ema(d, u * u, h.rho)
