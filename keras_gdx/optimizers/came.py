"""CAME: confidence-guided memory-efficient optimization."""

from typing import Annotated, Unpack

from annotated_types import Interval
from keras import ops

from keras_gdx.arguments import DecayRate, LearningRate, NonNegative, Number, Positive
from keras_gdx.math import ema, inverse_root, rms
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import register

__all__ = ["CAME"]


def row(shape):
    return shape[:-1] if len(shape) > 1 else None


def column(shape):
    return (*shape[:-2], shape[-1]) if len(shape) > 1 else None


@register
class CAME(Optimizer):
    r"""Adafactor with momentum that trusts a step less the more it differs from the momentum.

    With $V(R, C) = R\, C / \operatorname{mean} R$ for row means $R$ and column means $C$ over the
    last two axes, and EMAs of $g^2 + \epsilon_1$ (decay rate $\beta_2$) in $R_g, C_g$,

    $$n = \frac{g}{\sqrt{V(R_g, C_g)}}, \quad n \leftarrow \frac{n}{\max(1, \operatorname{rms}(n)
      / d)}, \quad m \leftarrow \beta_1 m + (1-\beta_1) n$$

    $$u = \frac{m}{\sqrt{V(R_s, C_s)}}$$

    with EMAs of $(n - m)^2 + \epsilon_2$ (decay rate $\beta_3$) in $R_s, C_s$. Vectors and scalars
    store the full second moment, and $u = m$ for them. No EMA has a bias correction.

    For large models, where it takes half of Adam's memory. The first steps are long, as the EMAs
    start at zero: use a warmup of the learning rate.

    Args:
        learning_rate: See `Optimizer`, as for all options not named here.
        beta_1: Number in (0, 1) or schedule: decay rate of the momentum.
        beta_2: Number in [0, 1) or schedule: decay rate of the second moment.
        beta_3: Number in [0, 1) or schedule: decay rate of the instability $(n - m)^2$.
        clip_threshold: Number > 0 or schedule, $d$.
        epsilon_1: Number >= 0 or schedule, added to the squared gradient.
        epsilon_2: Number >= 0 or schedule, added to the instability.
        **kwargs: The options of `Optimizer`.

    Memory: 4 bytes per parameter (`momentum`) and 8 per row and column; 8 bytes per parameter of
    vectors and scalars.

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.CAME(2e-4, weight_decay=0.01)
        >>> optimizer.bytes_per_parameter((1024, 1024))
        4.015625

    Source: arXiv:2307.02047, Luo et al. 2023
    Verified against: pytorch_optimizer 4.1.0 CAME, NumPy
    """

    slots = (
        "momentum",
        Slot("row", shape=row, signed=False),
        Slot("column", shape=column, signed=False),
        Slot("instability_row", shape=row, signed=False),
        Slot("instability_column", shape=column, signed=False),
        Slot("velocity", shape=lambda s: s if len(s) < 2 else None, signed=False),
    )
    elementwise = False

    def __init__(
        self,
        learning_rate: LearningRate = 2e-4,
        *,
        beta_1: Annotated[Number, Interval(gt=0, lt=1)] = 0.9,
        beta_2: DecayRate = 0.999,
        beta_3: DecayRate = 0.9999,
        clip_threshold: Positive = 1.0,
        epsilon_1: NonNegative = 1e-30,
        epsilon_2: NonNegative = 1e-16,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.beta_3 = beta_3
        self.clip_threshold = clip_threshold
        self.epsilon_1 = epsilon_1
        self.epsilon_2 = epsilon_2

    def direction(self, h, g, w, m, row, column, unstable_row, unstable_column, v):
        squared = g * g + h.epsilon_1
        if v is None:
            row, column = averaged(row, column, squared, h.beta_2)
            n = g * inverse_root(row, column)
        else:
            v = ema(v, squared, h.beta_2)
            n = g / ops.sqrt(v)
        n = n / ops.maximum(1.0, rms(n) / h.clip_threshold)
        u = m = ema(m, n, h.beta_1)
        if v is None:
            instability = ops.square(n - m) + h.epsilon_2
            unstable_row, unstable_column = averaged(
                unstable_row, unstable_column, instability, h.beta_3
            )
            u = m * inverse_root(unstable_row, unstable_column)
        return u, m, row, column, unstable_row, unstable_column, v


def averaged(row, column, x, beta):
    """EMAs of the means of `x` over its columns and over its rows."""
    return ema(row, ops.mean(x, axis=-1), beta), ema(column, ops.mean(x, axis=-2), beta)
