"""RMSprop."""

from typing import Unpack

from keras import ops

from keras_gdx.arguments import DecayRate, LearningRate, NonNegative
from keras_gdx.math import ema
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import register

__all__ = ["RMSprop"]


@register
class RMSprop(Optimizer):
    r"""Gradient divided by the root of its recent mean square.

    $$v \leftarrow \rho v + (1-\rho) g^2, \qquad
      m \leftarrow \mu m + \frac{g}{\sqrt{v + \epsilon}}, \qquad u = m$$

    With `centered`, $v$ is the variance: $a \leftarrow \rho a + (1-\rho) g$ and $v - a^2$ replaces
    $v$. It is kept as such, $\rho v + \rho (1-\rho) (g - a)^2$, which is never negative.

    For recurrent networks and reinforcement learning; elsewhere Adam, whose first steps are
    smaller, needs less tuning. As in optax and Keras, epsilon is inside the root (torch:
    outside). The momentum does not include the learning rate, so a new rate applies immediately.

    Args:
        learning_rate: See `Optimizer`, as for all options not named here.
        rho: Number in [0, 1) or schedule, $\rho$: decay rate of the mean square.
        momentum: Number in [0, 1) or schedule, $\mu$.
        centered: If true, divides by the standard deviation instead (arXiv:1308.0850).
        epsilon: Number >= 0 or schedule, added inside the root (Keras' default is 1e-7).
        **kwargs: The options of `Optimizer`.

    Memory: 4 bytes per parameter (`velocity`); 4 more with `centered`, and 4 more with momentum.

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.RMSprop(1e-3, momentum=0.9)

    Source: Tieleman and Hinton 2012, lecture 6e
    Verified against: optax 0.2.8 rmsprop, NumPy
    """

    slots = (
        Slot("velocity", signed=False),
        Slot("mean", when="centered"),
        Slot("momentum", when="momentum"),
    )

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        *,
        rho: DecayRate = 0.9,
        momentum: DecayRate = 0.0,
        centered: bool = False,
        epsilon: NonNegative = 1e-8,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.rho = rho
        self.momentum = momentum
        self.centered = centered
        self.epsilon = epsilon

    def direction(self, h, g, w, v, mean, m):
        if h.centered:
            v = h.rho * (v + (1 - h.rho) * ops.square(g - mean))
            mean = ema(mean, g, h.rho)
        else:
            v = ema(v, g * g, h.rho)
        m = h.momentum * m + g / ops.sqrt(v + h.epsilon)
        return m, v, mean, m
