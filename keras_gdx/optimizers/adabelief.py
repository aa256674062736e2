"""AdaBelief: steps as large as the gradient is predictable."""

from typing import Unpack

from keras import ops

from keras_gdx.arguments import DecayRate, LearningRate, NonNegative
from keras_gdx.math import bias_correction, ema
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import register

__all__ = ["AdaBelief"]


@register
class AdaBelief(Optimizer):
    r"""Adam that divides by the spread of the gradient around its mean, not by its size.

    $$m \leftarrow \beta_1 m + (1-\beta_1) g, \quad
      s \leftarrow \beta_2 s + (1-\beta_2) (g - m)^2 + \epsilon, \quad
      u = \frac{m / (1-\beta_1^t)}{\sqrt{s / (1-\beta_2^t)} + \epsilon}$$

    Steps are large where the gradient stays the same, and small where it is noisy. Use it where
    Adam generalizes worse than SGD. Steps of almost constant gradients have no upper bound: raise
    `epsilon` if training becomes unstable.

    Args:
        learning_rate: See `Optimizer`, as for all options not named here.
        beta_1: Number in [0, 1) or schedule: decay rate of the momentum.
        beta_2: Number in [0, 1) or schedule: decay rate of the mean squared deviation.
        epsilon: Number >= 0 or schedule, added to the deviation in every update, and outside
            the root.
        **kwargs: The options of `Optimizer`.

    Memory: 8 bytes per parameter (`momentum`, `deviation`).

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.AdaBelief(1e-3, weight_decay=0.01)

    Source: arXiv:2010.07468, Zhuang et al. 2020
    Verified against: optax 0.2.8 adabelief, NumPy
    """

    slots = ("momentum", Slot("deviation", signed=False))

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        *,
        beta_1: DecayRate = 0.9,
        beta_2: DecayRate = 0.999,
        epsilon: NonNegative = 1e-16,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def prepare(self, h):
        return {
            "r1": 1 / bias_correction(h.beta_1, h.t),
            "r2": 1 / bias_correction(h.beta_2, h.t),
        }

    def direction(self, h, g, w, m, s):
        m = ema(m, g, h.beta_1)
        s = ema(s, ops.square(g - m), h.beta_2) + h.epsilon
        return m * h.r1 / (ops.sqrt(s * h.r2) + h.epsilon), m, s
