"""Square matrices that belong to the axes of a tensor, stored one after another in one slot.

A vector stands for the diagonal matrix with these entries.
"""

from itertools import accumulate
from math import prod

from keras import ops


def joint_shape(shapes):
    """The shape of a slot with matrices of these shapes, by axis; `None` without any."""
    return (sum(map(prod, shapes.values())),) if shapes else None


def split(slot, shapes):
    """The matrices in a slot, by axis."""
    ends = accumulate(map(prod, shapes.values()))
    return {
        axis: ops.reshape(slot[end - prod(shape) : end], shape)
        for (axis, shape), end in zip(shapes.items(), ends, strict=True)
    }


def join(matrices):
    """The contents of a slot with these matrices."""
    return ops.concatenate([ops.reshape(matrix, (-1,)) for matrix in matrices])


def is_diagonal(matrix):
    """Whether a vector stands for this matrix."""
    return len(matrix.shape) == 1


def broadcast(vector, x, axis):
    """A vector with entries for the slices of `x` along an axis, in a shape to multiply `x`."""
    return ops.reshape(vector, (-1, *[1] * (len(x.shape) - 1 - axis)))


def outer(x, axis):
    """The products of all pairs of slices along an axis: `x @ x.T` for the first of a matrix."""
    others = _others(x, axis)
    return ops.tensordot(x, x, axes=[others, others])


def squared_norms(x, axis):
    """The diagonal of `outer`: the products of the slices with themselves."""
    return ops.sum(x * x, axis=_others(x, axis))


def _others(x, axis):
    return [i for i in range(len(x.shape)) if i != axis]


def times(x, matrices, *, transposed=False):
    """Multiplies `x` by a matrix along each axis: `a.T @ x @ b` if `x` is a matrix too.

    Args:
        x: A tensor.
        matrices: The matrices by axis.
        transposed: Whether to multiply by their transposes.
    """
    for axis, matrix in matrices.items():
        if is_diagonal(matrix):
            x = x * broadcast(matrix, x, axis)
        else:
            x = ops.moveaxis(ops.tensordot(x, matrix, axes=[[axis], [int(transposed)]]), -1, axis)
    return x


def scale_free(x):
    """`x` with entries of at most 1, so that no product overflows or vanishes.

    Entries that are not finite become 0, because TensorFlow raises an error if it shall decompose
    such a matrix.
    """
    x = ops.where(ops.isfinite(x), x, 0)
    return x / ops.maximum(ops.max(ops.abs(x)), 1e-37)
