"""Yogi: Adam whose second moment changes slowly."""

from typing import Unpack

from keras import ops

from keras_gdx.arguments import DecayRate, LearningRate, NonNegative, NonNegativeFloat
from keras_gdx.math import bias_correction, ema
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import register

__all__ = ["Yogi"]


@register
class Yogi(Optimizer):
    r"""Adam whose second moment falls as slowly as it grows, so that rates rise gradually.

    $$m \leftarrow \beta_1 m + (1-\beta_1) g, \quad
      v \leftarrow v - (1-\beta_2) \operatorname{sign}(v - g^2)\, g^2, \quad
      u = \frac{m / (1-\beta_1^t)}{\sqrt{v / (1-\beta_2^t)} + \epsilon}$$

    Use it for sparse or heavy-tailed gradients, after which Adam's second moment falls too fast.
    Where a few early gradients are much larger than all others, it stays slow. The paper has no
    bias corrections, optax and TensorFlow Addons do; in optax the momentum starts at
    `initial_accumulator_value`, here at 0.

    Args:
        learning_rate: See `Optimizer`, as for all options not named here.
        beta_1: Number in [0, 1) or schedule: decay rate of the momentum. 0: no momentum.
        beta_2: Number in [0, 1) or schedule: decay rate of the second moment.
        epsilon: Number >= 0 or schedule, added outside the root.
        initial_accumulator_value: Number >= 0 at which the second moment starts.
        **kwargs: The options of `Optimizer`.

    Memory: 8 bytes per parameter (`momentum`, `velocity`).

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.Yogi(1e-2)

    Source: Zaheer et al. 2018, Adaptive methods for nonconvex optimization
    Verified against: optax 0.2.8 yogi (with a momentum that starts at 0), NumPy
    """

    def __init__(
        self,
        learning_rate: LearningRate = 1e-2,
        *,
        beta_1: DecayRate = 0.9,
        beta_2: DecayRate = 0.999,
        epsilon: NonNegative = 1e-3,
        initial_accumulator_value: NonNegativeFloat = 1e-6,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.initial_accumulator_value = initial_accumulator_value

    @property
    def slots(self):
        """The two moments."""
        return (
            Slot("momentum", when="beta_1"),
            Slot("velocity", init=self.initial_accumulator_value, signed=False),
        )

    def prepare(self, h):
        return {
            "r1": 1 / bias_correction(h.beta_1, h.t),
            "r2": 1 / bias_correction(h.beta_2, h.t),
        }

    def direction(self, h, g, w, m, v):
        m = ema(m, g, h.beta_1)
        squared = g * g
        v = v - (1 - h.beta_2) * ops.sign(v - squared) * squared
        return m * h.r1 / (ops.sqrt(v * h.r2) + h.epsilon), m, v
