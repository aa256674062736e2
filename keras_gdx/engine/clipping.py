"""Clipping of the reduced gradient, by value, by variable or over the whole model.

A norm is one look at the gradient, and what follows from it is a number: the gradient
itself is scaled where the rule reads it.
"""

from keras import ops

from keras_gdx.backends import backend


def factors_of(tasks, h, factor=None):
    """What each gradient must be multiplied by: unscaling, and clipping by norm.

    Args:
        tasks: The buckets with their gradients.
        h: This update's scalars.
        factor: What all gradients must be multiplied by before they are clipped.

    Returns:
        For each task a scalar, a tensor with an entry for each of the bucket's, or `None`.
    """
    if h.clipnorm is not None:
        return [_by_variable(task, h.clipnorm, factor) for task in tasks]
    if h.global_clipnorm is not None:
        energies = [ops.cast(backend.energy(task.gradient), "float32") for task in tasks]
        factor = _shrink(ops.sqrt(sum(energies)), h.global_clipnorm, factor)
    return [factor] * len(tasks)


def _by_variable(task, most, factor):
    bucket = task.bucket
    parts = bucket.parts(task.gradient) if bucket.packed else [task.gradient]
    energies = ops.stack([backend.energy(part) for part in parts])
    factors = _shrink(ops.sqrt(energies), most, factor)
    return bucket.spread(factors)


def _shrink(norm, most, factor):
    """The factor that, with `factor` in it, makes the norm at most `most`."""
    factor = ops.ones((), norm.dtype) if factor is None else ops.cast(factor, norm.dtype)
    norm = norm * factor
    most = ops.cast(most, norm.dtype)
    return ops.where(norm > most, most / norm, ops.ones_like(norm)) * factor


def scaled(gradient, factor=None, h=None):
    """The gradient times its factor, with its entries clipped if `h.clipvalue` says so."""
    values = backend.values(gradient)
    if factor is not None:
        values = values * ops.cast(factor, values.dtype)
    if h is not None and h.clipvalue is not None:
        most = ops.cast(h.clipvalue, values.dtype)
        values = ops.clip(values, -most, most)
    return backend.with_values(gradient, values)
