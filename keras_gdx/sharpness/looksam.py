"""LookSAM: sharpness-aware minimization with a second gradient in every k-th step."""

import keras

from keras_gdx.arguments import NonNegativeFloat, PositiveSteps
from keras_gdx.sharpness.ascent import PeriodicAscent
from keras_gdx.sharpness.extension import extended

__all__ = ["LookSAM"]


def LookSAM(
    model: keras.Model,
    rho: NonNegativeFloat = 0.05,
    k: PositiveSteps = 5,
    alpha: NonNegativeFloat = 0.7,
    adaptive: bool = False,
) -> keras.Model:
    r"""SAM that computes its second gradient in every k-th step only, and reuses a part of it.

    TODO
    """
    return extended(model, PeriodicAscent(rho, k, alpha, adaptive))
