"""Adan: adaptive Nesterov momentum."""

from typing import Unpack

from keras import ops

from keras_gdx.arguments import DecayRate, LearningRate, NonNegative
from keras_gdx.math import bias_correction, ema
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import register

__all__ = ["Adan"]


@register
class Adan(Optimizer):
    r"""Adaptive Nesterov momentum: extrapolates along the change of the gradient.

    With $d = g_t - g_{t-1}$, zero in the first step,

    $$m \leftarrow \beta_1 m + (1-\beta_1) g, \quad v \leftarrow \beta_2 v + (1-\beta_2) d, \quad
      n \leftarrow \beta_3 n + (1-\beta_3) (g + \beta_2 d)^2$$

    $$u = \frac{\hat m + \beta_2 \hat v}{\sqrt{\hat n} + \epsilon}, \qquad
      w \leftarrow \frac{w - \eta u}{1 + \eta \lambda}$$

    where hats denote bias correction. The betas are decay rates: one minus those of the paper.

    For vision and language models with large batches and learning rates at which Adam becomes
    unstable. It keeps four numbers per weight where Adam keeps two.

    Args:
        learning_rate: $\eta$; see `Optimizer`, as for all options not named here.
        beta_1: Number in [0, 1) or schedule: decay rate of the EMA of the gradient.
        beta_2: Number in [0, 1) or schedule: decay rate of the EMA of its change.
        beta_3: Number in [0, 1) or schedule: decay rate of the EMA of the squares.
        epsilon: Number >= 0 or schedule, added outside the root.
        **kwargs: The options of `Optimizer`. `weight_decay` is proximal, $\lambda$ above.

    Memory: 16 bytes per parameter (`momentum`, `change`, `velocity`, `previous`).

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.Adan(1e-3, weight_decay=0.02)

    Source: arXiv:2208.06677, Xie et al. 2022
    Verified against: pytorch_optimizer 4.1.0 Adan (optax 0.2.8 deviates from the paper), NumPy
    """

    slots = ("momentum", "change", Slot("velocity", signed=False), "previous")

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        *,
        beta_1: DecayRate = 0.98,
        beta_2: DecayRate = 0.92,
        beta_3: DecayRate = 0.99,
        epsilon: NonNegative = 1e-8,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.beta_3 = beta_3
        self.epsilon = epsilon

    def prepare(self, h):
        return {f"c{i}": bias_correction(getattr(h, f"beta_{i}"), h.t) for i in (1, 2, 3)}

    def direction(self, h, g, w, m, v, n, previous):
        d = ops.where(h.t > 1, g - previous, 0.0)
        m = ema(m, g, h.beta_1)
        v = ema(v, d, h.beta_2)
        n = ema(n, ops.square(g + h.beta_2 * d), h.beta_3)
        u = (m / h.c1 + h.beta_2 * v / h.c2) / (ops.sqrt(n / h.c3) + h.epsilon)
        return u, m, v, n, g

    def decayed(self, h, w, u):
        return u

    def descend(self, h, w, u, *slots):
        decay = self.effective_decay(h, w, u)
        w = w - h.lr * u
        return (w if decay is None else w / (1 + h.lr * decay)), *slots
