"""The steps to the worst weights nearby, and what can be reused of the gradient there."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_gdx.arguments import NonNegativeFloat, PositiveSteps, Tensor
from keras_gdx.config import Configured

OFFSET = 0.01  # eta of arXiv:2102.11600, which lets weights of 0 move
ROUNDING = 16  # units of precision by which two parallel gradients may differ


@keras.saving.register_keras_serializable("keras_gdx")
class Ascent(Configured):
    """The steps from the weights to the worst ones nearby; the arguments are those of `SAM`."""

    k = 1  # each train step takes a second gradient

    def __init__(self, rho: NonNegativeFloat, adaptive: bool, per_replica: bool):
        self.rho = rho
        self.adaptive = adaptive
        self.per_replica = per_replica

    def steps(self, gradients: list[Tensor], weights: list[Tensor]) -> list[Tensor]:
        """What is to be added to each of the weights, which have the gradients."""
        scales: list[Any] = [ops.abs(w) + OFFSET if self.adaptive else 1.0 for w in weights]
        slopes, _ = unit([s * g for s, g in zip(scales, gradients, strict=True)])
        return [self.rho * s * x for s, x in zip(scales, slopes, strict=True)]


@keras.saving.register_keras_serializable("keras_gdx")
class PeriodicAscent(Ascent):
    """An ascent in every k-th train step; the arguments are those of `LookSAM`."""

    def __init__(
        self, rho: NonNegativeFloat, k: PositiveSteps, alpha: NonNegativeFloat, adaptive: bool
    ):
        super().__init__(rho, adaptive, per_replica=False)
        self.k = k
        self.alpha = alpha

    def direction(self, first: list[Tensor], second: list[Tensor]) -> list[Tensor]:
        """The unit vector of the part of the second gradient that is orthogonal to the first.

        It is 0 if the two are parallel.
        """
        (g, _), (s, _) = unit(first), unit(second)
        along = ops.divide_no_nan(dot(g, s), dot(g, g))
        v, sine = unit([b - along * a for a, b in zip(g, s, strict=True)])
        known = sine > ROUNDING * np.finfo(keras.backend.standardize_dtype(sine.dtype)).eps
        return [ops.where(known, x, ops.zeros_like(x)) for x in v]

    def pull(self, first: list[Tensor], direction: list[Tensor]) -> list[Tensor]:
        """What is to be added to the first gradient in place of a second one."""
        _, norm = unit(first)
        return [self.alpha * norm * v for v in direction]


def dot(xs: list[Tensor], ys: list[Tensor]) -> Tensor:
    """The inner product of two vectors in parts."""
    return sum(ops.sum(x * y) for x, y in zip(xs, ys, strict=True))


def unit(xs: list[Tensor]) -> tuple[list[Tensor], Tensor]:
    """The unit vector along a vector in parts, and its norm; 0 for a vector of 0."""
    # The squares of scaled gradients may overflow, and those of tiny ones vanish.
    largest = ops.max(ops.stack([ops.max(ops.abs(x), initial=0) for x in xs]))
    xs = [ops.divide_no_nan(x, largest) for x in xs]
    norm = ops.sqrt(dot(xs, xs))
    return [ops.divide_no_nan(x, norm) for x in xs], largest * norm
