"""The small words in which regularizers are written."""

import keras
import numpy as np
from keras import ops

__all__ = []

TINY = float(np.finfo("float32").tiny)  # below it processors round to zero, some of the time


def wide(w):
    """The weights as a tensor of float32, or of float64 if they are."""
    w = ops.convert_to_tensor(w)
    dtype = keras.backend.standardize_dtype(w.dtype)
    return ops.cast(w, keras.backend.result_type(dtype, "float32"))


def power(x, p):
    """`x**p` for `x >= 0` and `p > 0`; its gradient at 0 is 0, where the plain one may be NaN."""
    positive = x > TINY
    return ops.where(positive, ops.where(positive, x, 1.0) ** p, 0.0)


def as_matrix(w):
    """A kernel as a matrix (inputs, outputs); a vector is one column."""
    w = wide(w)
    return ops.reshape(w, (-1, w.shape[-1] if len(w.shape) > 1 else 1))


def directions(matrix):
    """Left singular vectors, singular values from the largest, right singular vectors.

    They are constants to a gradient, which for functions of the values is exact.
    """
    left, values, right = ops.svd(ops.stop_gradient(matrix), full_matrices=False)
    return ops.stop_gradient(left), values, ops.stop_gradient(ops.transpose(right))
