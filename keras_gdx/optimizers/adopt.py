"""ADOPT: Adam that converges with any second-moment decay rate."""

from typing import Unpack

from keras import ops

from keras_gdx.arguments import DecayRate, LearningRate, NonNegative
from keras_gdx.math import ema, started
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import UNSET, Slot
from keras_gdx.registry import register

__all__ = ["ADOPT"]


@register
class ADOPT(Optimizer):
    r"""Adam that converges with any `beta_2`: it divides by the second moment of earlier gradients.

    $$n = \operatorname{clip}\left(\frac{g}{\max(\sqrt v, \epsilon)}, \pm (t-1)^{1/4}\right),
      \quad m \leftarrow \beta_1 m + (1-\beta_1) n, \quad u = m, \quad
      v \leftarrow \beta_2 v + (1-\beta_2) g^2$$

    The first gradient of a variable only sets $v \leftarrow g^2$; the variable is decayed but does
    not move. There is no bias correction.

    Use it where Adam is unstable or sensitive to `beta_2`, as with small batches. Learning rates
    of Adam suit it.

    Args:
        learning_rate: See `Optimizer`, as for all options not named here.
        beta_1: Number in [0, 1) or schedule: decay rate of the momentum. 0: no momentum.
        beta_2: Number in [0, 1) or schedule: decay rate of the second moment.
        epsilon: Number >= 0 or schedule: lower bound of the denominator.
        clip: If false, $n$ is not clipped, as in the paper's first version.
        **kwargs: The options of `Optimizer`.

    Memory: 8 bytes per parameter (`momentum`, `velocity`).

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.ADOPT(1e-3, weight_decay=0.01)

    Source: arXiv:2411.02853, Taniguchi et al. 2024
    Verified against: optax 0.2.8 contrib.adopt, NumPy
    """

    slots = (Slot("momentum", when="beta_1"), Slot("velocity", init=UNSET, signed=False))

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        *,
        beta_1: DecayRate = 0.9,
        beta_2: DecayRate = 0.9999,
        epsilon: NonNegative = 1e-6,
        clip: bool = True,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.clip = clip

    def prepare(self, h):
        return {"most": (h.t - 1) ** 0.25}

    def direction(self, h, g, w, m, v):
        n = g / ops.maximum(ops.sqrt(v), h.epsilon)
        if h.clip:
            n = ops.clip(n, -h.most, h.most)
        m = ops.where(ops.isnan(v), m, ema(m, n, h.beta_1))
        return m, m, ema(started(v, g * g), g * g, h.beta_2)
