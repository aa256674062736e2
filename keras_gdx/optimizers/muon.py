"""Muon: orthogonalized momentum."""

import math
from collections.abc import Sequence
from typing import Literal, Unpack

from keras import ops

from keras_gdx.arguments import DecayRate, LearningRate, PositiveInt, check, is_number, is_schedule
from keras_gdx.math import orthogonalize
from keras_gdx.optimizers.adamw import AdamW
from keras_gdx.optimizers.base import WHOLE, Optimizer
from keras_gdx.optimizers.options import Options, check_options
from keras_gdx.registry import register
from keras_gdx.schedules import Product

__all__ = ["Muon"]


@register
class Muon(Optimizer):
    r"""Momentum for matrices, orthogonalized: all singular values of the step are near one.

    $$m \leftarrow \mu m + g, \qquad G = g + \mu m, \qquad
      u = s \operatorname{NS}(G) \approx s\, U V^\top \quad\text{for}\quad G = U \Sigma V^\top$$

    Kernels are reshaped to (inputs, outputs): for convolutions all leading axes are inputs, for
    attention projections the einsum equation decides. `fallback` updates all other variables:
    embeddings, the output layer, vectors and scalars. The structure of the compiled model tells
    which these are. Without a model (in a custom loop) every variable of rank >= 2 not called
    `embeddings` is a matrix; call `optimizer.attach(model)` to use the model's structure.

    Args:
        learning_rate: See `Optimizer`, as for all options not named here.
        momentum: Number in [0, 1) or schedule, $\mu$.
        nesterov: If false, $G = m$.
        ns_steps: Integer >= 1: Newton-Schulz iterations, in float32.
        ns_coefficients: Three numbers: coefficients of the quintic polynomial of an iteration.
        adjust: Scale $s$: `"original"` is `sqrt(max(1, outputs / inputs))`; `"match_rms_adamw"`
            is `0.2 * sqrt(max(inputs, outputs))`, which suits AdamW's learning rates; `None`
            is 1.
        fallback: Optimizer of this package for the other variables. `None` is `AdamW` with 0.05
            times the learning rate, or with 1e-3 if that is a callable. A number assigned to
            `learning_rate` later scales both rates.
        **kwargs: The options of `Optimizer`. `weight_decay` and `decay` apply to the
            matrices only.

    Memory: 4 bytes per parameter of a matrix (`momentum`), the fallback's for the rest.

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.Muon(
        ...     0.02, weight_decay=0.01, fallback=keras_gdx.optimizers.AdamW(3e-3))

    Source: Jordan et al. 2024, kellerjordan.github.io/posts/muon; arXiv:2502.16982
    Verified against: torch 2.13 torch.optim.Muon on transposed kernels, NumPy
    """

    slots = ("momentum",)
    parts = ("fallback",)
    elementwise = False

    def __init__(
        self,
        learning_rate: LearningRate = 0.02,
        *,
        momentum: DecayRate = 0.95,
        nesterov: bool = True,
        ns_steps: PositiveInt = 5,
        ns_coefficients: Sequence[float] = (3.4445, -4.775, 2.0315),
        adjust: Literal["original", "match_rms_adamw"] | None = "original",
        fallback: Optimizer | None = None,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        three = isinstance(ns_coefficients, (list, tuple)) and len(ns_coefficients) == 3
        valid = three and all(is_number(x) and math.isfinite(x) for x in ns_coefficients)
        check(valid, "ns_coefficients", ns_coefficients, "three numbers")
        if fallback is None:
            fallback = AdamW(_fraction(learning_rate))
        check(isinstance(fallback, Optimizer), "fallback", fallback, "a rule of keras_gdx")
        for option, default in WHOLE.items():
            value = getattr(fallback, option)
            check(value == default, f"fallback.{option}", value, f"{default!r}; set it on Muon")
        self.momentum = momentum
        self.nesterov = nesterov
        self.ns_steps = ns_steps
        self.ns_coefficients = tuple(ns_coefficients)
        self.adjust = adjust
        self.fallback = fallback
        check_options(self)  # again, with the fallback

    def part_of(self, spec):
        is_matrix = spec.role.kind == "kernel" and not spec.role.head
        return None if is_matrix else "fallback"

    def direction(self, h, g, w, m):
        m = h.momentum * m + g
        matrix = g + h.momentum * m if h.nesterov else m
        shape = h.role.matrix_shape(w.shape)
        matrix = ops.cast(ops.reshape(matrix, shape), "float32")
        u = orthogonalize(matrix, h.ns_steps, h.ns_coefficients)
        inputs, outputs = shape
        if h.adjust == "original":
            u = u * max(1.0, outputs / inputs) ** 0.5
        elif h.adjust == "match_rms_adamw":
            u = u * (0.2 * max(inputs, outputs) ** 0.5)
        return ops.cast(ops.reshape(u, w.shape), w.dtype), m


def _fraction(rate):
    """The default learning rate of the fallback, from Muon's."""
    if is_schedule(rate):
        return Product(rate, 0.05)
    return 1e-3 if callable(rate) else 0.05 * rate
