"""Adafactor."""

from typing import Unpack

from keras import ops

from keras_gdx.arguments import DecayRate, LearningRate, NonNegative, Positive, PositiveInt
from keras_gdx.math import ema, inverse_root, rms
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import register
from keras_gdx.schedules.relative_step import RelativeStep

__all__ = ["Adafactor"]


@register
class Adafactor(Optimizer):
    r"""Adaptive steps with a factored second moment: only row and column means are stored.

    With $\hat\beta_t = 1 - t^{-c}$ and $G = g^2 + \epsilon_1$, for the last two axes

    $$R \leftarrow \hat\beta_t R + (1 - \hat\beta_t) \operatorname{mean}_{col} G, \quad
      C \leftarrow \hat\beta_t C + (1 - \hat\beta_t) \operatorname{mean}_{row} G, \quad
      V = \frac{R\, C}{\operatorname{mean} R}$$

    $$u = \frac{g}{\sqrt V}, \quad u \leftarrow \frac{u}{\max(1, \operatorname{rms}(u)/d)}, \quad
      u \leftarrow \max(\epsilon_2, \operatorname{rms}(w))\, u$$

    For models whose state would not fit in memory otherwise; where it does, use `AdamW`.

    Args:
        learning_rate: See `Optimizer`. `None` is the paper's relative step,
            `min(1e-2, 1 / sqrt(t))`.
        beta_1: Number in [0, 1) or schedule: decay rate of an EMA of the directions, without
            bias correction. `None`: no EMA.
        decay_rate: Number > 0 or schedule, $c$.
        epsilon_1: Number >= 0 or schedule, added to the squared gradient.
        epsilon_2: Number >= 0 or schedule: lower bound of the weights' RMS in the update.
        clip_threshold: Number > 0 or schedule, $d$; `None` does not clip.
        scale_parameter: If true, multiplies the direction by the RMS of the weights.
        min_dim_size_to_factor: Integer >= 1: matrices with a smaller side store the full
            second moment.
        **kwargs: The options of `Optimizer`. `weight_decay` is multiplied by the rate only.

    Memory: 4 bytes per row and column, about 0.008 bytes per parameter of a 1024 x 1024
    matrix (Keras' own Adafactor also allocates 4 bytes per parameter); with `beta_1`, 4 more
    bytes per parameter.

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.Adafactor()
        >>> optimizer.bytes_per_parameter((1024, 1024))
        0.0078125

    Source: arXiv:1804.04235, Shazeer and Stern 2018
    Verified against: optax 0.2.8 adafactor, NumPy
    """

    elementwise = False

    def __init__(
        self,
        learning_rate: LearningRate | None = None,
        *,
        beta_1: DecayRate | None = None,
        decay_rate: Positive = 0.8,
        epsilon_1: NonNegative = 1e-30,
        epsilon_2: NonNegative = 1e-3,
        clip_threshold: Positive | None = 1.0,
        scale_parameter: bool = True,
        min_dim_size_to_factor: PositiveInt = 128,
        **kwargs: Unpack[Options],
    ):
        super().__init__(RelativeStep() if learning_rate is None else learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.decay_rate = decay_rate
        self.epsilon_1 = epsilon_1
        self.epsilon_2 = epsilon_2
        self.clip_threshold = clip_threshold
        self.scale_parameter = scale_parameter
        self.min_dim_size_to_factor = min_dim_size_to_factor

    @property
    def slots(self):
        """Means of rows and columns for large matrices, otherwise one value per weight."""

        def factored(shape):
            return len(shape) >= 2 and min(shape[-2:]) >= self.min_dim_size_to_factor

        return (
            Slot("row", shape=lambda s: s[:-1] if factored(s) else None, signed=False),
            Slot("column", shape=lambda s: (*s[:-2], s[-1]) if factored(s) else None, signed=False),
            Slot("velocity", shape=lambda s: None if factored(s) else s, signed=False),
            Slot("momentum", when="beta_1"),
        )

    def prepare(self, h):
        return {"beta_2": 1 - h.t ** (-h.decay_rate)}

    def direction(self, h, g, w, row, column, v, m):
        squared = g * g + h.epsilon_1
        if v is None:
            row = ema(row, ops.mean(squared, axis=-1), h.beta_2)
            column = ema(column, ops.mean(squared, axis=-2), h.beta_2)
            u = g * inverse_root(row, column)
        else:
            v = ema(v, squared, h.beta_2)
            u = g / ops.sqrt(v)
        if h.clip_threshold is not None:
            u = u / ops.maximum(1.0, rms(u) / h.clip_threshold)
        if h.scale_parameter:
            u = u * ops.maximum(h.epsilon_2, rms(w))
        if h.beta_1 is not None:
            u = m = ema(m, u, h.beta_1)
        return u, row, column, v, m
