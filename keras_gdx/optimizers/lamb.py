"""LAMB: layer-wise adaptive moments for large batches."""

from collections.abc import Sequence
from typing import Unpack

from keras import ops

from keras_gdx.arguments import DecayRate, LearningRate, NonNegative
from keras_gdx.math import bias_correction, ema, norm, ratio
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import OptionsExceptDecay
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import register

__all__ = ["LAMB"]


@register
class LAMB(Optimizer):
    r"""Adam with layer-wise trust ratios, for large batches.

    $$r = \frac{\hat m}{\sqrt{\hat v} + \epsilon} + \lambda w, \qquad
      u = \frac{\lVert w \rVert}{\lVert r \rVert} r$$

    The weight decay is inside the trust ratio (Keras' own Lamb has it outside). The ratio is
    1 where either norm is zero.

    Made for transformers and batches of thousands; with small batches use `AdamW`.

    Args:
        learning_rate: See `Optimizer`, as for all options not named here.
        beta_1: Number in [0, 1) or schedule: decay rate of the momentum.
        beta_2: Number in [0, 1) or schedule: decay rate of the second moment.
        epsilon: Number >= 0 or schedule, added outside the root.
        weight_decay: Number >= 0 or schedule, $\lambda$.
        no_adaptation: Regular expressions: variables whose path matches one have ratio 1.
        **kwargs: The options of `Optimizer`.

    Memory: 8 bytes per parameter (`momentum`, `velocity`).

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.LAMB(2e-3, weight_decay=0.01, no_adaptation=["bias"])

    Source: arXiv:1904.00962, You et al. 2020
    Verified against: optax 0.2.8 lamb, NumPy
    """

    slots = ("momentum", Slot("velocity", signed=False))
    masks = ("no_adaptation",)
    elementwise = False

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        *,
        beta_1: DecayRate = 0.9,
        beta_2: DecayRate = 0.999,
        epsilon: NonNegative = 1e-6,
        weight_decay: NonNegative | None = 0.0,
        no_adaptation: Sequence[str] = (),
        **kwargs: Unpack[OptionsExceptDecay],
    ):
        super().__init__(learning_rate, weight_decay=weight_decay, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.no_adaptation = no_adaptation

    def prepare(self, h):
        return {"c1": bias_correction(h.beta_1, h.t), "c2": bias_correction(h.beta_2, h.t)}

    def direction(self, h, g, w, m, v):
        m = ema(m, g, h.beta_1)
        v = ema(v, g * g, h.beta_2)
        r = super().decayed(h, w, (m / h.c1) / (ops.sqrt(v / h.c2) + h.epsilon))
        return (r if h.no_adaptation else r * ratio(norm(w), norm(r))), m, v

    def decayed(self, h, w, u):
        return u
