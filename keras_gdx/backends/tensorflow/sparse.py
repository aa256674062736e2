"""Sparse gradients in which each row occurs once.

The number of rows is known only at run time, but XLA needs fixed shapes, and its padding would
count as row 0. So a compiled step uses the maximum number of rows. Padding gets the index after the
last row, where XLA drops writes and additions.
"""

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops  # private: the most rows there may be

from keras_gdx.backends.tensorflow.compiling import compiling
from keras_gdx.backends.tensorflow.gradients import is_fully_known, native_of
from keras_gdx.backends.tensorflow.one_loop import held_apart


def only_rows(gradient, all_rows):
    """The nonzero rows of a gradient, as a sparse gradient.

    Args:
        gradient: A dense gradient.
        all_rows: A boolean: whether to include all rows.
    """
    shape = tf.shape(gradient)
    named = tf.reduce_any(tf.reshape(gradient, (shape[0], -1)) != 0, axis=1) | all_rows
    if compiling():
        return tf.IndexedSlices(gradient, tf.where(named, tf.range(shape[0]), shape[0]), shape)
    found = tf.where(named)[:, 0]
    return tf.IndexedSlices(tf.gather(gradient, found), found, shape)


def coalesced(gradient):
    """The gradient; if it is sparse, with the entries of repeated rows summed."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    values, indices, shape = gradient.values, gradient.indices, gradient.dense_shape
    if not compiling():
        indices, position = tf.unique(indices)
        summed = tf.math.unsorted_segment_sum(values, position, tf.shape(indices)[0])
        return tf.IndexedSlices(summed, indices, shape)
    nothing = tf.cast(shape[0], indices.dtype)
    values, indices = _of_fixed_size(values, indices, nothing)
    most = tf.shape(indices)[0]
    order = tf.argsort(indices)
    indices = tf.gather(indices, order)
    another = tf.concat([[False], indices[1:] != indices[:-1]], axis=0)
    position = tf.cumsum(tf.cast(another, tf.int32))
    summed = tf.math.unsorted_segment_sum(tf.gather(values, order), position, most)
    named = tf.tensor_scatter_nd_update(tf.fill([most], nothing), position[:, None], indices)
    return tf.IndexedSlices(summed, named, shape)


def _of_fixed_size(values, indices, nothing):
    """Values and indices padded to a fixed size; padding has the index `nothing`."""
    if is_fully_known(indices.shape):
        return values, indices
    here, rest = tf.shape(indices)[0], values.shape[1:]
    values = gen_xla_ops.xla_remove_dynamic_dimension_size(values, 0)
    indices = gen_xla_ops.xla_remove_dynamic_dimension_size(indices, 0)
    real = tf.range(tf.shape(indices)[0]) < here
    indices = tf.where(real, indices, nothing)
    real = tf.reshape(real, (-1, *(1 for _ in rest)))
    values = tf.where(real, values, tf.zeros((), values.dtype))
    return tf.ensure_shape(values, (None, *rest)), indices


def read_rows(variable, rows, dtype):
    """Reads some rows of a variable, without reading the others."""
    return tf.cast(tf.gather(native_of(variable), rows), dtype)


def write_rows(variable, rows, new):
    """Replaces some rows of a variable, without writing the others."""
    native = native_of(variable)
    new = tf.cast(new, native.dtype)
    if compiling():
        rows, new = held_apart(rows, new)
    native.scatter_update(tf.IndexedSlices(new, rows))
