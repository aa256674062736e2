"""AdEMAMix: Adam with a second, much slower momentum."""

from typing import Unpack

from keras import ops

from keras_gdx.arguments import DecayRate, LearningRate, NonNegative, PositiveSteps
from keras_gdx.math import bias_correction, ema, log
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import register

__all__ = ["AdEMAMix"]


@register
class AdEMAMix(Optimizer):
    r"""Adam with a second, slow momentum, which remembers gradients of many thousand updates.

    $$m_1 \leftarrow \beta_1 m_1 + (1-\beta_1) g, \quad
      m_2 \leftarrow \beta_3(t)\, m_2 + (1-\beta_3(t))\, g, \quad
      v \leftarrow \beta_2 v + (1-\beta_2) g^2$$

    $$u = \frac{m_1 / (1-\beta_1^t) + \alpha(t)\, m_2}{\sqrt{v / (1-\beta_2^t)} + \epsilon}$$

    With `warmup_steps` $T$ and $s = \min(t / T, 1)$, $\alpha(t) = s \alpha$, and $\beta_3(t)$
    rises from $\beta_1$ to $\beta_3$:

    $$\beta_3(t) = \min\left(\exp\frac{\ln\beta_1 \ln\beta_3}
      {(1-s) \ln\beta_3 + s \ln\beta_1}, \beta_3\right)$$

    For long runs. Without warmup it may diverge early; where fewer than some ten thousand updates
    are made, use a smaller `beta_3`. With `state_dtype` below float32 the slow momentum cannot
    take up changes smaller than its rounding error.

    Args:
        learning_rate: See `Optimizer`, as for all options not named here.
        beta_1: Number in [0, 1) or schedule: decay rate of the fast momentum. 0: none.
        beta_2: Number in [0, 1) or schedule: decay rate of the second moment.
        beta_3: Number in [0, 1) or schedule: decay rate of the slow momentum, after warmup.
        alpha: Number >= 0 or schedule, $\alpha$: weight of the slow momentum, after warmup.
        warmup_steps: Integer >= 1, $T$: updates of warmup, in the paper all of the run. `None`:
            no warmup.
        epsilon: Number >= 0 or schedule, added outside the root.
        **kwargs: The options of `Optimizer`.

    Memory: 12 bytes per parameter (`momentum`, `slow`, `velocity`).

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.AdEMAMix(1e-3, warmup_steps=10_000, weight_decay=0.1)

    Source: arXiv:2409.03137, Pagliardini et al. 2024
    Verified against: pytorch_optimizer 4.1.0 AdEMAMix, NumPy
    """

    slots = (Slot("momentum", when="beta_1"), "slow", Slot("velocity", signed=False))

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        *,
        beta_1: DecayRate = 0.9,
        beta_2: DecayRate = 0.999,
        beta_3: DecayRate = 0.9999,
        alpha: NonNegative = 5.0,
        warmup_steps: PositiveSteps | None = None,
        epsilon: NonNegative = 1e-8,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.beta_3 = beta_3
        self.alpha = alpha
        self.warmup_steps = warmup_steps
        self.epsilon = epsilon

    def prepare(self, h):
        found = {
            "c1": bias_correction(h.beta_1, h.t),
            "c2": bias_correction(h.beta_2, h.t),
            "share": 1 - h.beta_3,  # of the new gradient in the slow momentum
            "weight": h.alpha,
        }
        if h.warmup_steps is not None:
            s = ops.minimum(h.t / h.warmup_steps, 1.0)
            fast, slow = log(h.beta_1), log(h.beta_3)
            share = -ops.expm1(1 / ((1 - s) / fast + s / slow))
            found |= {"share": ops.maximum(share, found["share"]), "weight": s * h.alpha}
        return found

    def direction(self, h, g, w, fast, slow, v):
        fast = ema(fast, g, h.beta_1)
        slow = slow + (g - slow) * h.share
        v = ema(v, g * g, h.beta_2)
        u = (fast / h.c1 + h.weight * slow) / (ops.sqrt(v / h.c2) + h.epsilon)
        return u, fast, slow, v
