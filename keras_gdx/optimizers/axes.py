"""Square matrices that belong to the axes of a tensor, stored one after another in one slot."""

from itertools import accumulate

from keras import ops


def squares(shape, axes):
    """The shape of a slot with a square matrix for each of these axes; `None` without axes."""
    return (sum(shape[axis] ** 2 for axis in axes),) if axes else None


def split(slot, shape, axes):
    """The matrices in a slot, by axis."""
    sizes = [shape[axis] for axis in axes]
    ends = accumulate(size * size for size in sizes)
    return {
        axis: ops.reshape(slot[end - size * size : end], (size, size))
        for axis, size, end in zip(axes, sizes, ends, strict=True)
    }


def join(matrices):
    """The contents of a slot with these matrices."""
    return ops.concatenate([ops.reshape(matrix, (-1,)) for matrix in matrices])


def outer(x, axis):
    """The products of all pairs of slices along an axis: `x @ x.T` for the first of a matrix."""
    others = [i for i in range(len(x.shape)) if i != axis]
    return ops.tensordot(x, x, axes=[others, others])


def times(x, matrices, *, transposed=False):
    """Multiplies `x` by a matrix along each axis: `a.T @ x @ b` if `x` is a matrix too.

    Args:
        x: A tensor.
        matrices: The matrices by axis.
        transposed: Whether to multiply by their transposes.
    """
    for axis, matrix in matrices.items():
        x = ops.moveaxis(ops.tensordot(x, matrix, axes=[[axis], [int(transposed)]]), -1, axis)
    return x


def scale_free(x):
    """`x` with entries of at most 1, so that no product overflows or vanishes.

    Entries that are not finite become 0, because TensorFlow raises an error if it shall decompose
    such a matrix.
    """
    x = ops.where(ops.isfinite(x), x, 0)
    return x / ops.maximum(ops.max(ops.abs(x)), 1e-37)
