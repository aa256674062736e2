"""Clipping of the reduced gradient: by value, by variable or over the whole model.

Clipping by norm reads the gradient once and yields a scalar factor. The gradient itself is
scaled where the rule reads it.
"""

from keras import ops

from keras_gdx.backends import backend


def factors_of(tasks, h, factor=None):
    """The factor of each gradient, from unscaling and clipping by norm.

    Args:
        tasks: The buckets with their gradients.
        h: The `Scalars` of this update.
        factor: Scalar by which all gradients are multiplied before they are clipped, or `None`.

    Returns:
        For each task a scalar, a tensor that broadcasts against the bucket, or `None`.
    """
    if h.clipnorm is not None:
        return [_by_variable(task, h.clipnorm, factor) for task in tasks]
    if h.global_clipnorm is not None:
        energies = [ops.cast(backend.energy(task.gradient), "float32") for task in tasks]
        factor = _shrink(ops.sqrt(sum(energies)), h.global_clipnorm, factor)
    return [factor] * len(tasks)


def _by_variable(task, most, factor):
    bucket = task.bucket
    parts = bucket.split(task.gradient) if bucket.packed else [task.gradient]
    energies = ops.stack([backend.energy(part) for part in parts])
    factors = _shrink(ops.sqrt(energies), most, factor)
    return bucket.spread(factors)


def _shrink(norm, most, factor):
    """`factor`, reduced if needed so that the norm times it is at most `most`."""
    factor = ops.ones((), norm.dtype) if factor is None else ops.cast(factor, norm.dtype)
    norm = norm * factor
    most = ops.cast(most, norm.dtype)
    return ops.where(norm > most, most / norm, ops.ones_like(norm)) * factor


def scaled(gradient, factor=None, h=None):
    """The gradient times its factor, clipped entry by entry if `h.clipvalue` is set."""
    values = backend.values(gradient)
    if factor is not None:
        values = values * ops.cast(factor, values.dtype)
    if h is not None and h.clipvalue is not None:
        most = ops.cast(h.clipvalue, values.dtype)
        values = ops.clip(values, -most, most)
    return backend.with_values(gradient, values)
