"""MARS: variance reduction for adaptive methods."""

from typing import Unpack

from keras import ops

from keras_gdx.arguments import DecayRate, LearningRate, NonNegative
from keras_gdx.math import bias_correction, ema, norm
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import register

__all__ = ["MARS"]


@register
class MARS(Optimizer):
    r"""AdamW on gradients whose variance is reduced by the change since the last one.

    $$c = g_t + \gamma \frac{\beta_1}{1-\beta_1} (g_t - g_{t-1}), \qquad
      c \leftarrow c / \max(1, \lVert c \rVert)$$

    $$m \leftarrow \beta_1 m + (1-\beta_1) c, \quad v \leftarrow \beta_2 v + (1-\beta_2) c^2,
      \quad u = \frac{m / (1-\beta_1^t)}{\sqrt{v / (1-\beta_2^t)} + \epsilon}$$

    with the norm over one variable, and $g_0 = 0$ as in the authors' code; in the paper
    $c_1 = g_1$. This is the paper's approximate form, which needs one gradient per update. The
    authors use AdamW for vectors; here the rule applies to every variable.

    For large models with noisy gradients, in place of AdamW, with a larger learning rate.

    Args:
        learning_rate: See `Optimizer`, as for all options not named here.
        beta_1: Number in [0, 1) or schedule: decay rate of the momentum.
        beta_2: Number in [0, 1) or schedule: decay rate of the second moment.
        gamma: Number >= 0 or schedule, $\gamma$: strength of the correction. 0: AdamW with
            clipped gradients.
        epsilon: Number >= 0 or schedule, added outside the root.
        **kwargs: The options of `Optimizer`.

    Memory: 12 bytes per parameter (`momentum`, `velocity`, `previous`).

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.MARS(3e-3, weight_decay=0.1)

    Source: arXiv:2411.10438, Yuan et al. 2024
    Verified against: pytorch_optimizer 4.1.0 MARS (its epsilon, which precedes the bias
        correction, is moved behind it, as in the paper), NumPy
    """

    slots = ("momentum", Slot("velocity", signed=False), "previous")
    elementwise = False

    def __init__(
        self,
        learning_rate: LearningRate = 3e-3,
        *,
        beta_1: DecayRate = 0.95,
        beta_2: DecayRate = 0.99,
        gamma: NonNegative = 0.025,
        epsilon: NonNegative = 1e-8,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.gamma = gamma
        self.epsilon = epsilon

    def prepare(self, h):
        return {
            "r1": 1 / bias_correction(h.beta_1, h.t),
            "r2": 1 / bias_correction(h.beta_2, h.t),
            "strength": h.gamma * h.beta_1 / (1 - h.beta_1),
        }

    def direction(self, h, g, w, m, v, previous):
        c = g + h.strength * (g - previous)
        c = c / ops.maximum(norm(c), 1.0)
        m = ema(m, c, h.beta_1)
        v = ema(v, c * c, h.beta_2)
        return m * h.r1 / (ops.sqrt(v * h.r2) + h.epsilon), m, v, g
