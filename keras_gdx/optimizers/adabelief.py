"""AdaBelief: steps as large as the gradient is predictable."""

from typing import Annotated, Unpack

from annotated_types import Ge
from keras import ops

from keras_gdx.arguments import DecayRate, LearningRate, NonNegative, Number
from keras_gdx.math import bias_correction, ema
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.radam import rectifier
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
    `epsilon` if training becomes unstable. With `threshold=5` steps are rectified as in `RAdam`,
    which is the default of the authors' code and of TensorFlow Addons.

    Args:
        learning_rate: See `Optimizer`, as for all options not named here.
        beta_1: Number in [0, 1) or schedule: decay rate of the momentum.
        beta_2: Number in [0, 1) or schedule: decay rate of the mean squared deviation.
        epsilon: Number >= 0 or schedule, added to the deviation in every update, and outside
            the root.
        threshold: Number >= 4 or schedule: the $\rho_t$ of `RAdam` from which steps are adaptive;
            `None`: from the first.
        amsgrad: If true, divides by the root of the largest $s$ so far, corrected by the current
            step.
        **kwargs: The options of `Optimizer`.

    Memory: 8 bytes per parameter (`momentum`, `deviation`); 12 with `amsgrad`.

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.AdaBelief(1e-3, weight_decay=0.01)

    Source: arXiv:2010.07468, Zhuang et al. 2020
    Verified against: optax 0.2.8 adabelief, NumPy
    """

    slots = (
        "momentum",
        Slot("deviation", signed=False),
        Slot("largest", signed=False, when="amsgrad"),
    )

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        *,
        beta_1: DecayRate = 0.9,
        beta_2: DecayRate = 0.999,
        epsilon: NonNegative = 1e-16,
        threshold: Annotated[Number, Ge(4)] | None = None,
        amsgrad: bool = False,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.threshold = threshold
        self.amsgrad = amsgrad

    def prepare(self, h):
        c1, c2 = bias_correction(h.beta_1, h.t), bias_correction(h.beta_2, h.t)
        found = {"r1": 1 / c1, "r2": 1 / c2}
        if h.threshold is None:
            return found
        adaptive, r = rectifier(h, c2)
        return found | {"adaptive": adaptive, "r": r}

    def direction(self, h, g, w, m, s, largest):
        m = ema(m, g, h.beta_1)
        s = ema(s, ops.square(g - m), h.beta_2) + h.epsilon
        second = largest = ops.maximum(largest, s) if h.amsgrad else s
        scale = 1 / (ops.sqrt(second * h.r2) + h.epsilon)
        if h.threshold is not None:
            scale = ops.where(h.adaptive, h.r * scale, 1.0)
        return m * h.r1 * scale, m, s, largest
