"""Access to gradients and variables."""

import tensorflow as tf


def native_of(variable):
    """The `tf.Variable` behind a Keras variable; any other variable unchanged."""
    return variable.value if hasattr(variable, "path") else variable


def snapshot(variable):
    """The current value of `variable`, unaffected by later writes."""
    return tf.identity(variable)


def dense(gradient):
    """A gradient or a variable as a dense tensor."""
    return tf.convert_to_tensor(gradient)


def is_fully_known(shape):
    """Whether a shape is static."""
    return tf.TensorShape(shape).is_fully_defined()


def ensure_shape(gradient, shape):
    """The gradient, with a check at run time that it has this shape."""
    return gradient if rows(gradient) is not None else tf.ensure_shape(gradient, shape)


def with_table(gradient, variable):
    """The gradient; if it is sparse, with its dense shape set."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    shape = variable.shape if gradient.dense_shape is None else gradient.dense_shape
    return tf.IndexedSlices(gradient.values, gradient.indices, tf.convert_to_tensor(shape))


def values(gradient):
    """The stored entries of a gradient."""
    return gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient


def with_values(gradient, new):
    """The same gradient with other entries."""
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(new, gradient.indices, gradient.dense_shape)
    return new


def rows(gradient):
    """The row indices of a sparse gradient; `None` if it is dense."""
    return gradient.indices if isinstance(gradient, tf.IndexedSlices) else None


def have_values(variables):
    """Whether all variables are initialized; those created while tracing are so only afterwards."""
    return all(bool(copy.is_initialized()) for v in variables for copy in copies(v))


def number(variable):
    """The value of a scalar variable, which may be mirrored, as a Python number."""
    native = native_of(variable)
    if hasattr(native, "values"):
        return native.read_value().numpy().item()
    # takes a fifth of the time of `read_value`, which matters in a callback
    return tf.raw_ops.ReadVariableOp(resource=native.handle, dtype=native.dtype).numpy().item()


def copies(variable):
    """The copies of a variable on all replicas, each a `tf.Variable`."""
    native = native_of(variable)
    return list(getattr(native, "values", (native,)))


def cast(gradient, dtype):
    """The gradient with its entries in another dtype."""
    return with_values(gradient, tf.cast(values(gradient), dtype))
