"""Gradients and variables: dense ones, and sparse ones by rows."""

import tensorflow as tf


def native_of(variable):
    """The `tf.Variable` behind a variable of Keras; any other as it is."""
    return variable.value if hasattr(variable, "path") else variable


def snapshot(variable):
    """The value of `variable` now, unchanged by later writes."""
    return tf.identity(variable)


def dense(gradient):
    """A gradient or a variable as one tensor."""
    return tf.convert_to_tensor(gradient)


def is_fully_known(shape):
    """Whether a shape is known before the step runs."""
    return tf.TensorShape(shape).is_fully_defined()


def ensure_shape(gradient, shape):
    """The gradient, refused when the step runs if it has another shape."""
    return gradient if rows(gradient) is not None else tf.ensure_shape(gradient, shape)


def with_table(gradient, variable):
    """The gradient; if it is sparse, it knows the shape of the whole."""
    if isinstance(gradient, tf.IndexedSlices) and gradient.dense_shape is None:
        return tf.IndexedSlices(gradient.values, gradient.indices, tf.constant(variable.shape))
    return gradient


def values(gradient):
    """The entries of a gradient that are not zero by construction."""
    return gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient


def with_values(gradient, new):
    """The same gradient with other entries."""
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(new, gradient.indices, gradient.dense_shape)
    return new


def only_rows(gradient):
    """The rows of a gradient that are not zero, as a sparse gradient."""
    flat = tf.reshape(gradient, (tf.shape(gradient)[0], -1))
    found = tf.where(tf.reduce_any(flat != 0, axis=1))[:, 0]
    return tf.IndexedSlices(tf.gather(gradient, found), found, tf.shape(gradient))


def rows(gradient):
    """The rows that a sparse gradient names; `None` if it is dense."""
    return gradient.indices if isinstance(gradient, tf.IndexedSlices) else None


def read_rows(variable, rows, dtype):
    """Some rows of a variable, without reading the others."""
    return tf.cast(tf.gather(native_of(variable), rows), dtype)


def write_rows(variable, rows, new):
    """Replaces some rows of a variable, without touching the others."""
    native = native_of(variable)
    native.scatter_update(tf.IndexedSlices(tf.cast(new, native.dtype), rows))


def coalesced(gradient):
    """The gradient; if it is sparse, it names each row once."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    indices, position = tf.unique(gradient.indices)
    summed = tf.math.unsorted_segment_sum(gradient.values, position, tf.shape(indices)[0])
    return tf.IndexedSlices(summed, indices, gradient.dense_shape)


def number(variable):
    """The value of a scalar, which may be one for all replicas, as a Python number."""
    native = native_of(variable)
    if hasattr(native, "values"):
        return native.read_value().numpy().item()
    # a fifth of the time of `read_value`, which matters in a callback
    return tf.raw_ops.ReadVariableOp(resource=native.handle, dtype=native.dtype).numpy().item()


def copies(variable):
    """The values of a variable on all replicas, each a `tf.Variable`."""
    native = native_of(variable)
    return list(getattr(native, "values", (native,)))


def cast(gradient, dtype):
    """The gradient with its entries in another dtype."""
    return with_values(gradient, tf.cast(values(gradient), dtype))
