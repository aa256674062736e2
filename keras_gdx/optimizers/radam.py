"""Rectified Adam."""

from typing import Annotated, Unpack

from annotated_types import Ge
from keras import ops

from keras_gdx.arguments import DecayRate, LearningRate, NonNegative, Number
from keras_gdx.math import bias_correction, ema
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import register

__all__ = ["RAdam"]


@register
class RAdam(Optimizer):
    r"""Adam with rectified variance: adaptive only once the second moment is reliable.

    With $\rho_\infty = 2/(1-\beta_2) - 1$ and
    $\rho_t = \rho_\infty - 2 t \beta_2^t / (1 - \beta_2^t)$, the direction is

    $$u = r_t \frac{m / (1-\beta_1^t)}{\sqrt{v / (1-\beta_2^t)} + \epsilon}, \qquad
      r_t^2 = \frac{(\rho_t-4)(\rho_t-2)\rho_\infty}{(\rho_\infty-4)(\rho_\infty-2)\rho_t}$$

    once $\rho_t$ reaches the threshold, and only the bias-corrected momentum before. This acts
    as a built-in warmup.

    Args:
        learning_rate: See `Optimizer`, as for all options not named here.
        beta_1: Number in [0, 1) or schedule: decay rate of the momentum.
        beta_2: Number in [0, 1) or schedule: decay rate of the second moment.
        epsilon: Number >= 0 or schedule, added outside the root.
        threshold: Number >= 4 or schedule: the $\rho_t$ from which steps are adaptive. (The
            paper requires > 4; implementations use 5.)
        **kwargs: The options of `Optimizer`.

    Memory: 8 bytes per parameter (`momentum`, `velocity`).

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.RAdam(1e-3)

    Source: arXiv:1908.03265, Liu et al. 2020
    Verified against: optax 0.2.8 radam, NumPy
    """

    slots = ("momentum", Slot("velocity", signed=False))

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        *,
        beta_1: DecayRate = 0.9,
        beta_2: DecayRate = 0.999,
        epsilon: NonNegative = 1e-8,
        threshold: Annotated[Number, Ge(4)] = 5.0,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.threshold = threshold

    def prepare(self, h):
        c1, c2 = bias_correction(h.beta_1, h.t), bias_correction(h.beta_2, h.t)
        longest = 2 / (1 - h.beta_2) - 1
        rho = longest - 2 * h.t * (1 - c2) / c2
        adaptive = rho >= h.threshold
        rho = ops.where(adaptive, rho, longest)
        r = (rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho)
        return {"c1": c1, "c2": c2, "adaptive": adaptive, "r": ops.sqrt(r)}

    def direction(self, h, g, w, m, v):
        m = ema(m, g, h.beta_1)
        v = ema(v, g * g, h.beta_2)
        scale = ops.where(h.adaptive, h.r / (ops.sqrt(v / h.c2) + h.epsilon), 1.0)
        return scale * m / h.c1, m, v
