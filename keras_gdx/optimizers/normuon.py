"""NorMuon: Muon with an adaptive step for each output."""

from collections.abc import Sequence
from math import prod
from typing import Literal, Unpack

from keras import ops

from keras_gdx.arguments import DecayRate, LearningRate, PositiveInt
from keras_gdx.math import ema, norm
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.muon import Muon, adjustment
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import register

__all__ = ["NorMuon"]

EPSILON = 1e-10  # as in the authors' code


@register
class NorMuon(Muon):
    r"""Muon whose step is normalized for each output, so that no neuron dominates.

    $$O = \operatorname{NS}(G), \qquad
      v_j \leftarrow \beta_2 v_j + (1 - \beta_2) \operatorname{mean}_i(O_{ij}^2), \qquad
      \hat O_{ij} = \frac{O_{ij}}{\sqrt{v_j} + \varepsilon}, \qquad
      u = 0.2 \sqrt{\text{inputs} \cdot \text{outputs}} \frac{\hat O}{\lVert \hat O \rVert}$$

    $G$ and the choice of the matrices are those of `Muon`; use it where you would use `Muon`. The
    step has the scale of the paper, an RMS of 0.2, which is larger than that of `Muon`. The
    authors' code instead keeps the norm of $O$, as here with `adjust=None`.

    Args:
        learning_rate: See `Optimizer`, as for all options not named here.
        momentum: Number in [0, 1) or schedule, $\mu$.
        beta_2: Number in [0, 1) or schedule, $\beta_2$: decay rate of the second moment.
        nesterov: As in `Muon`.
        ns_steps: As in `Muon`.
        ns_coefficients: As in `Muon`.
        adjust: Norm of the step: `"original"` is the paper's, an RMS of 0.2 whatever the norm of
            $O$; `"match_rms_adamw"` and `None` give it the norm that it has in `Muon`.
        fallback: As in `Muon`.
        **kwargs: The options of `Optimizer`. `weight_decay` applies to the matrices only.

    Memory: 4 bytes per parameter of a matrix and 4 per output (`momentum`, `velocity`), the
        fallback's for the rest.

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.NorMuon(1e-3, weight_decay=0.1)

    Source: arXiv:2510.05491, Li et al. 2025
    Verified against: pytorch_optimizer 4.1.0 NorMuon on transposed kernels, NumPy
    """

    slots: tuple[Slot | str, ...] = (
        *Muon.slots,
        Slot("velocity", shape=lambda matrix: matrix[1:], of_matrix=True, signed=False),
    )

    def __init__(
        self,
        learning_rate: LearningRate = 0.02,
        *,
        momentum: DecayRate = 0.95,
        beta_2: DecayRate = 0.95,
        nesterov: bool = True,
        ns_steps: PositiveInt = 5,
        ns_coefficients: Sequence[float] | Literal["polar_express"] = (3.4445, -4.775, 2.0315),
        adjust: Literal["original", "match_rms_adamw"] | None = "original",
        fallback: Optimizer | None = None,
        **kwargs: Unpack[Options],
    ):
        super().__init__(
            learning_rate,
            momentum=momentum,
            nesterov=nesterov,
            ns_steps=ns_steps,
            ns_coefficients=ns_coefficients,
            adjust=adjust,
            fallback=fallback,
            **kwargs,
        )
        self.beta_2 = beta_2

    def scaled(self, h, o, v):
        v = ema(v, ops.mean(o * o, axis=0), h.beta_2)
        u = o / (ops.sqrt(v) + EPSILON)
        if h.adjust == "original":
            length = 0.2 * prod(o.shape) ** 0.5
        else:
            length = adjustment(h.adjust, *o.shape) * norm(o)
        return length / (norm(u) + EPSILON) * u, v
