"""Orthogonal gradients."""

import keras
import numpy as np
from keras import ops

from keras_gdx.math import norm
from keras_gdx.modifiers.base import Modifier
from keras_gdx.registry import register

__all__ = ["OrthoGrad"]

TINY = 1e-30


@register
class OrthoGrad(Modifier):
    r"""Removes from each variable's gradient the part along its weights, keeping the norm.

    $$g_\perp = g - \frac{\langle w, g \rangle}{\langle w, w \rangle} w, \qquad
      g \leftarrow g_\perp \frac{\lVert g \rVert}{\lVert g_\perp \rVert}$$

    It prevents a model from lowering its loss by scaling its logits, which delays generalization
    and makes the softmax overflow. A gradient that is parallel to the weights, as that of every
    nonzero scalar, becomes 0.

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.AdamW(1e-3, before=[keras_gdx.modifiers.OrthoGrad()])

    Source: arXiv:2501.04697, Prieto et al. 2025
    Verified against: NumPy
    """

    sides = ("before",)
    elementwise = False

    def __call__(self, h, x, g, w):
        rest = x - ops.sum(w * x) / (ops.sum(w * w) + TINY) * w
        before, after = norm(x), norm(rest)
        rounding = 4 * np.finfo(keras.backend.standardize_dtype(w.dtype)).eps * before
        return rest * ops.where(after > rounding, before / (after + TINY), 0.0)
