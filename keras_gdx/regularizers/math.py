"""Helpers for regularizers."""

import keras
import numpy as np
from keras import ops

from keras_gdx.arguments import Tensor

__all__: list[str] = []

TINY = float(np.finfo("float32").tiny)  # smaller values may be flushed to zero


def wide(w: Tensor) -> Tensor:
    """The weights as a float32 tensor, or float64 if they are float64."""
    w = ops.convert_to_tensor(w)
    dtype = keras.backend.standardize_dtype(w.dtype)
    return ops.cast(w, keras.backend.result_type(dtype, "float32"))


def power(x: Tensor, p: float) -> Tensor:
    """`x**p` for `x >= 0` and `p > 0`, with gradient 0 at 0, where that of `**` may be NaN."""
    positive = x > TINY
    return ops.where(positive, ops.where(positive, x, 1.0) ** p, 0.0)


def as_matrix(w: Tensor) -> Tensor:
    """A kernel as a matrix (inputs, outputs); a vector is one column."""
    w = wide(w)
    return ops.reshape(w, (-1, w.shape[-1] if len(w.shape) > 1 else 1))


def directions(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Left singular vectors, singular values in descending order, right singular vectors.

    Gradients treat them as constants, which is exact for functions of the singular values.
    """
    left, values, right = ops.svd(ops.stop_gradient(matrix), full_matrices=False)
    return ops.stop_gradient(left), values, ops.stop_gradient(ops.transpose(right))
