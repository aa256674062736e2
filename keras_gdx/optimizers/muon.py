"""Muon: orthogonalized momentum."""

import math
from collections.abc import Sequence
from typing import Literal, Unpack

from keras import ops

from keras_gdx.arguments import DecayRate, LearningRate, PositiveInt, is_number, is_schedule
from keras_gdx.math import orthogonalize
from keras_gdx.optimizers.adamw import AdamW
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options, check_options
from keras_gdx.optimizers.parts import check_part
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import register
from keras_gdx.schedules import Product

__all__ = ["Muon"]

# Each has the smallest error on the interval that the ones before leave: 5 iterations from the
# lower bound 1e-3, with a cushion of 0.02 and a safety factor of 1.02.
POLAR_EXPRESS = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)


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

    Use it to train networks from scratch in which most weights are in matrices. Where those are
    few, or for fine-tuning with few updates, `AdamW` is simpler.

    Args:
        learning_rate: See `Optimizer`, as for all options not named here.
        momentum: Number in [0, 1) or schedule, $\mu$.
        nesterov: If false, $G = m$.
        ns_steps: Integer >= 1: Newton-Schulz iterations, in float32.
        ns_coefficients: Three numbers: coefficients of the quintic polynomial of an iteration.
            `"polar_express"`: another polynomial in each iteration, of five, so `ns_steps` must
            be 5 (arXiv:2505.16932). At the same cost, singular values from 1/1000 of the norm
            end between 0.85 and 1.15; otherwise between 0.47 and 1.2.
        adjust: Scale $s$: `"original"` is `sqrt(max(1, outputs / inputs))`; `"match_rms_adamw"`
            is `0.2 * sqrt(max(inputs, outputs))`, which suits AdamW's learning rates; `None`
            is 1.
        fallback: Optimizer of this package for the other variables. `None` is `AdamW` with 0.15
            times the learning rate (with all of it for `"match_rms_adamw"`), or with 1e-3 if
            that is a callable. A number assigned to `learning_rate` later scales both rates.
        **kwargs: The options of `Optimizer`. `weight_decay` and `decay` apply to the
            matrices only.

    Memory: 4 bytes per parameter of a matrix (`momentum`), the fallback's for the rest.

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.Muon(
        ...     0.02, weight_decay=0.01, fallback=keras_gdx.optimizers.AdamW(3e-3)
        ... )

    Source: Jordan et al. 2024, kellerjordan.github.io/posts/muon; arXiv:2502.16982
    Verified against: torch 2.13 torch.optim.Muon on transposed kernels, NumPy
    """

    slots: tuple[Slot | str, ...] = ("momentum",)
    parts = ("fallback",)
    elementwise = False

    def __init__(
        self,
        learning_rate: LearningRate = 0.02,
        *,
        momentum: DecayRate = 0.95,
        nesterov: bool = True,
        ns_steps: PositiveInt = 5,
        ns_coefficients: Sequence[float] | Literal["polar_express"] = (3.4445, -4.775, 2.0315),
        adjust: Literal["original", "match_rms_adamw"] | None = "original",
        fallback: Optimizer | None = None,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        if ns_coefficients == "polar_express":
            known = f"{len(POLAR_EXPRESS)} with ns_coefficients='polar_express'"
            self._check(ns_steps == len(POLAR_EXPRESS), "ns_steps", ns_steps, known)
        else:
            three = isinstance(ns_coefficients, (list, tuple)) and len(ns_coefficients) == 3
            valid = three and all(is_number(x) and math.isfinite(x) for x in ns_coefficients)
            known = "three numbers or 'polar_express'"
            self._check(valid, "ns_coefficients", ns_coefficients, known)
            ns_coefficients = tuple(ns_coefficients)
        if fallback is None:
            fallback = AdamW(_for_fallback(learning_rate, adjust))
        check_part(fallback, "fallback")
        self.momentum = momentum
        self.nesterov = nesterov
        self.ns_steps = ns_steps
        self.ns_coefficients = ns_coefficients
        self.adjust = adjust
        self.fallback = fallback
        check_options(self)  # again, with the fallback

    def part_of(self, spec):
        is_matrix = spec.role.kind == "kernel" and not spec.role.head
        return None if is_matrix else "fallback"

    def workspace(self, size, slots):
        """The matrix of an iteration, and the next one."""
        return 2 * size

    def direction(self, h, g, w, m, *own):
        m = h.momentum * m + g
        matrix = g + h.momentum * m if h.nesterov else m
        matrix = ops.cast(ops.reshape(matrix, h.role.matrix_shape(w.shape)), "float32")
        if h.ns_coefficients == "polar_express":
            o = orthogonalize(matrix, POLAR_EXPRESS, margin=1.01)
        else:
            o = orthogonalize(matrix, [h.ns_coefficients] * h.ns_steps)
        u, *own = self.scaled(h, ops.cast(o, w.dtype), *own)
        return ops.reshape(u, w.shape), m, *own

    def scaled(self, h, o, *own):
        """The step along the orthogonal matrix `o`, and the new values of other slots."""
        return adjustment(h.adjust, *o.shape) * o, *own


def adjustment(adjust, inputs, outputs):
    """The scale of the step of a matrix of this shape."""
    if adjust == "original":
        return max(1.0, outputs / inputs) ** 0.5
    return 0.2 * max(inputs, outputs) ** 0.5 if adjust == "match_rms_adamw" else 1.0


def _for_fallback(rate, adjust):
    """The default learning rate of the fallback, from Muon's."""
    share = 1.0 if adjust == "match_rms_adamw" else 0.15
    if is_schedule(rate):
        return Product(rate, share)
    return 1e-3 if callable(rate) else share * rate
