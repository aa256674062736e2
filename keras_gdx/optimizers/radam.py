"""Rectified Adam."""

from typing import Annotated, Unpack

from annotated_types import Ge
from keras import ops

from keras_gdx.arguments import (
    DecayRate,
    Fraction,
    LearningRate,
    NonNegative,
    Number,
    Steps,
)
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

    With `total_steps` $= T$ the learning rate itself warms up, over a share $p$ of these updates,
    and then falls: with $W = pT$ and $t$ from 1,

    $$\eta_t = \eta \frac{t}{W} \;\; (t \le W), \qquad
      \eta_t = \eta + (\eta_{min} - \eta) \min\!\left(1, \frac{t - W}{\max(T - W, 1)}\right)$$

    This and `amsgrad` are as in TensorFlow Addons. A schedule as `learning_rate` is equivalent to
    the former and more general.

    Use it where you do not want to choose a warmup; otherwise Adam with one is simpler.

    Args:
        learning_rate: See `Optimizer`, as for all options not named here.
        beta_1: Number in [0, 1) or schedule: decay rate of the momentum.
        beta_2: Number in [0, 1) or schedule: decay rate of the second moment.
        epsilon: Number >= 0 or schedule, added outside the root.
        threshold: Number >= 4 or schedule: the $\rho_t$ from which steps are adaptive. (The
            paper requires > 4; implementations use 5.)
        amsgrad: If true, divides by the root of the largest $v$ so far, corrected by the current
            step (`Adam` corrects before it takes the maximum).
        total_steps: Integer >= 0, $T$: updates until the learning rate is the smallest. 0: it
            neither warms up nor falls.
        warmup_proportion: Number in [0, 1] or schedule, $p$. Only used with `total_steps`.
        min_learning_rate: Number >= 0 or schedule, $\eta_{min}$. Only used with `total_steps`.
        **kwargs: The options of `Optimizer`.

    Memory: 8 bytes per parameter (`momentum`, `velocity`); 12 with `amsgrad`.

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.RAdam(1e-3)

    Source: arXiv:1908.03265, Liu et al. 2020
    Verified against: optax 0.2.8 radam, NumPy
    """

    slots = (
        Slot("momentum", decays="beta_1"),
        Slot("velocity", signed=False, decays="beta_2"),
        Slot("largest", signed=False, when="amsgrad"),
    )

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        *,
        beta_1: DecayRate = 0.9,
        beta_2: DecayRate = 0.999,
        epsilon: NonNegative = 1e-8,
        threshold: Annotated[Number, Ge(4)] = 5.0,
        amsgrad: bool = False,
        total_steps: Steps = 0,
        warmup_proportion: Fraction = 0.1,
        min_learning_rate: NonNegative = 0.0,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.threshold = threshold
        self.amsgrad = amsgrad
        self.total_steps = total_steps
        self.warmup_proportion = warmup_proportion
        self.min_learning_rate = min_learning_rate

    def prepare(self, h):
        c1, c2 = bias_correction(h.beta_1, h.t), bias_correction(h.beta_2, h.t)
        adaptive, r = rectifier(h, c2)
        found = {"c1": c1, "c2": c2, "adaptive": adaptive, "r": r}
        return found | ({"lr": _warmed_up(h)} if h.total_steps else {})

    def direction(self, h, g, w, m, v, largest):
        m = ema(m, g, h.beta_1)
        v = ema(v, g * g, h.beta_2)
        second = largest = ops.maximum(largest, v) if h.amsgrad else v
        scale = ops.where(h.adaptive, h.r / (ops.sqrt(second / h.c2) + h.epsilon), 1.0)
        return scale * m / h.c1, m, v, largest


def rectifier(h, c2):
    r"""Whether $\rho_t$ is at least `h.threshold`, and the factor $r_t$; `c2`: $1 - \beta_2^t$."""
    longest = 2 / (1 - h.beta_2) - 1
    rho = longest - 2 * h.t * (1 - c2) / c2
    adaptive = (rho >= h.threshold) & (rho > 4)  # a scheduled threshold may be anything
    rho = ops.where(adaptive, rho, longest)
    r = (rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho)
    return adaptive, ops.sqrt(r)


def _warmed_up(h):
    warmup = h.total_steps * h.warmup_proportion
    rising = h.lr * h.t / ops.where(warmup > 0, warmup, 1.0)
    fallen = ops.minimum((h.t - warmup) / ops.maximum(h.total_steps - warmup, 1.0), 1.0)
    return ops.where(h.t <= warmup, rising, h.lr + (h.min_learning_rate - h.lr) * fallen)
