"""Prodigy: Adam that estimates its own learning rate."""

from math import inf
from typing import Annotated, Unpack

from annotated_types import Interval
from keras import ops

from keras_gdx.arguments import (
    DecayRate,
    LearningRate,
    NonNegative,
    Number,
    Positive,
    PositiveFloat,
)
from keras_gdx.math import bias_correction, ema
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import register

__all__ = ["Prodigy"]


@register
class Prodigy(Optimizer):
    r"""Adam whose learning rate is an estimate of the distance to the solution.

    With $\gamma = \eta d$, sums over all weights of the model, and $d = d_0$ at first,

    $$a \leftarrow \beta_3 a + \tfrac{d}{d_0} \gamma \sum g\, (w_0 - w), \quad
      s \leftarrow \beta_3 s + \tfrac{d}{d_0} \gamma g, \quad
      d' = \max\Bigl(d, \frac{c\, a}{\sum |s|}\Bigr)$$

    $$m \leftarrow \beta_1 m + (1-\beta_1)\, d g, \quad
      v \leftarrow \beta_2 v + (1-\beta_2)\, d^2 g^2, \quad
      w \leftarrow w - \gamma \Bigl(\frac{m}{\sqrt v + d' \epsilon} + \lambda w\Bigr), \quad
      d \leftarrow d'$$

    Leave the learning rate at 1, or let it decay from there. It suits fine-tuning, and trainings
    too long to search for a rate; where a good rate is known, Adam costs half the memory. With
    16-bit weights the distance $w_0 - w$ is too coarse to begin with: raise `d0`.

    Args:
        learning_rate: $\eta$; see `Optimizer`, as for all options not named here.
        beta_1: Number in [0, 1) or schedule: decay rate of the momentum. 0: no momentum.
        beta_2: Number in [0, 1) or schedule: decay rate of the second moment.
        beta_3: Number in [0, 1) or schedule: decay rate of the sums $a$ and $s$. `None`: the
            square root of `beta_2`.
        d0: Number > 0: first estimate of the distance; too small is safer than too large.
        d_coefficient: Number > 0 or schedule, $c$: scales the estimates.
        growth_rate: Number in [1, inf] or schedule: the most by which an update multiplies
            $d$, after the first estimate.
        epsilon: Number >= 0 or schedule, added outside the root.
        use_bias_correction: If true, $\gamma$ has Adam's bias corrections as a factor.
        safeguard_warmup: If true, $s$ has $d$ in place of $\gamma$, for a learning rate that
            is warmed up from very small values.
        **kwargs: The options of `Optimizer`. `weight_decay` is $\lambda$. A multiplier in
            `lr_multipliers` is a factor of the variable's $\gamma$; 0 leaves it out of the sums.

    Memory: 16 bytes per parameter (`momentum`, `velocity`, `gradient_sum`, `start`).

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.Prodigy(weight_decay=0.01, use_bias_correction=True)

    Source: arXiv:2306.06101, Mishchenko and Defazio 2023
    Verified against: pytorch_optimizer 4.1.0 Prodigy, NumPy
    """

    slots = (
        Slot("momentum", when="beta_1"),
        Slot("velocity", signed=False),
        "gradient_sum",
        Slot("start", init="variable"),
    )
    shared = ("distance", "largest", "progress")
    elementwise = False
    divisible = False

    def __init__(
        self,
        learning_rate: LearningRate = 1.0,
        *,
        beta_1: DecayRate = 0.9,
        beta_2: DecayRate = 0.999,
        beta_3: DecayRate | None = None,
        d0: PositiveFloat = 1e-6,
        d_coefficient: Positive = 1.0,
        growth_rate: Annotated[Number, Interval(ge=1, le=inf)] = inf,
        epsilon: NonNegative = 1e-8,
        use_bias_correction: bool = False,
        safeguard_warmup: bool = False,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.beta_3 = beta_3
        self.d0 = d0
        self.d_coefficient = d_coefficient
        self.growth_rate = growth_rate
        self.epsilon = epsilon
        self.use_bias_correction = use_bias_correction
        self.safeguard_warmup = safeguard_warmup

    def prepare(self, h):
        correction = 1.0
        if h.use_bias_correction:
            c1, c2 = bias_correction(h.beta_1, h.t), bias_correction(h.beta_2, h.t)
            correction = ops.sqrt(c2) / c1
        return {
            "correction": correction,
            "beta_3": h.beta_2**0.5 if h.beta_3 is None else h.beta_3,
        }

    def workspace(self, size, slots):
        """The terms of a sum over the model."""
        return size

    def global_stats(self, h, model, d, largest, progress):
        d = ops.maximum(d, h.d0)
        scale = d / h.d0
        rate = h.lr * d * h.correction
        gain = scale * (d if h.safeguard_warmup else rate)
        gained = length = 0.0
        for g, w, slots, k in zip(
            model.gradients, model.weights, model.slots, model.multipliers, strict=True
        ):
            gained = gained + k * ops.sum(g * (slots["start"] - w))
            length = length + ops.sum(ops.abs(h.beta_3 * slots["gradient_sum"] + k * gain * g))
        progress = h.beta_3 * progress + scale * rate * gained
        known = length > 0  # it is 0 as long as all gradients or rates are
        estimate = ops.where(known, h.d_coefficient * progress / ops.where(known, length, 1.0), d)
        largest = ops.maximum(ops.maximum(largest, d), estimate)
        grown = h.growth_rate * ops.where(d > h.d0, d, ops.maximum(d, estimate))
        new = ops.minimum(largest, grown)
        return {"d": d, "new_d": new, "gain": gain}, new, largest, progress

    def direction(self, h, g, w, m, v, s, start):
        m = ema(m, h.d * g, h.beta_1)
        v = ema(v, ops.square(h.d * g), h.beta_2)
        s = h.beta_3 * s + h.multiplier * h.gain * g
        return m / (ops.sqrt(v) + h.new_d * h.epsilon), m, v, s, start

    def descend(self, h, w, u, *slots):
        return w - h.lr * h.d * h.correction * u, *slots
