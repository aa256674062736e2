"""Adam."""

from typing import Unpack

from keras import ops

from keras_gdx.arguments import DecayRate, LearningRate, NonNegative
from keras_gdx.math import bias_correction, ema
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import register

__all__ = ["Adam"]


@register
class Adam(Optimizer):
    r"""Adam: momentum divided by the root of the mean squared gradient.

    $$m \leftarrow \beta_1 m + (1-\beta_1) g, \quad v \leftarrow \beta_2 v + (1-\beta_2) g^2,
      \quad u = \frac{m / (1-\beta_1^t)}{\sqrt{v / (1-\beta_2^t)} + \epsilon}$$

    With `amsgrad` the denominator uses the largest bias-corrected $v$ so far (as in optax; the
    paper has no bias correction, torch corrects after the maximum).

    The usual first choice; with weight decay take `AdamW`. Convolutional networks with batch
    normalization often generalize better with `SGD`.

    Args:
        learning_rate: See `Optimizer`, as for all options not named here.
        beta_1: Number in [0, 1) or schedule: decay rate of the momentum. 0: no momentum.
        beta_2: Number in [0, 1) or schedule: decay rate of the second moment.
        epsilon: Number >= 0 or schedule, added outside the root (Keras' default is 1e-7).
        amsgrad: If true, the denominator never decreases (arXiv:1904.09237).
        **kwargs: The options of `Optimizer`.

    Memory: 8 bytes per parameter (`momentum`, `velocity`); 12 with `amsgrad`.

    Example:
        >>> import keras, keras_gdx
        >>> w = keras.Variable([1.0, 2.0])
        >>> keras_gdx.optimizers.Adam(0.5).apply([[1.0, -3.0]], [w])
        >>> w.numpy()
        array([0.5, 2.5], dtype=float32)

    Source: arXiv:1412.6980, Kingma and Ba 2015
    Verified against: optax 0.2.8 adam and amsgrad, NumPy
    """

    slots = (
        Slot("momentum", when="beta_1", decays="beta_1"),
        Slot("velocity", signed=False, decays="beta_2"),
        Slot("maximum", signed=False, when="amsgrad"),
    )

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        *,
        beta_1: DecayRate = 0.9,
        beta_2: DecayRate = 0.999,
        epsilon: NonNegative = 1e-8,
        amsgrad: bool = False,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.amsgrad = amsgrad

    def prepare(self, h):
        return {
            "r1": 1 / bias_correction(h.beta_1, h.t),
            "r2": 1 / bias_correction(h.beta_2, h.t),
        }

    def direction(self, h, g, w, m, v, largest):
        m = ema(m, g, h.beta_1)
        v = ema(v, g * g, h.beta_2)
        corrected = v * h.r2
        if h.amsgrad:
            corrected = largest = ops.maximum(largest, corrected)
        return self.numerator(h, g, m) / (ops.sqrt(corrected) + h.epsilon), m, v, largest

    @staticmethod
    def numerator(h, g, m):
        """The bias-corrected momentum, which the root divides."""
        return m * h.r1
