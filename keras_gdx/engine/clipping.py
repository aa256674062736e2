"""Clipping of the reduced gradient, by value, by variable or over the whole model."""

from keras import ops

from keras_gdx.engine import backend


def clip(gradients, h):
    """Clips as `h.clipnorm`, `h.global_clipnorm` or `h.clipvalue` says; at most one is set."""
    if h.clipvalue is not None:
        bounds = [ops.cast(h.clipvalue, backend.values(g).dtype) for g in gradients]
        return _map(lambda g, c: ops.clip(g, -c, c), gradients, bounds)
    if h.clipnorm is not None:
        norms = [ops.sqrt(_energy(g)) for g in gradients]
        return _map(lambda g, n: _shrink(g, n, h.clipnorm), gradients, norms)
    if h.global_clipnorm is not None:
        total = ops.sqrt(sum(ops.cast(_energy(g), "float32") for g in gradients))
        return _map(
            lambda g, n: _shrink(g, n, h.global_clipnorm), gradients, [total] * len(gradients)
        )
    return gradients


def _map(fn, gradients, numbers):
    pairs = zip(gradients, numbers, strict=True)
    return [backend.with_values(g, fn(backend.values(g), n)) for g, n in pairs]


def _energy(gradient):
    return ops.sum(ops.square(backend.values(gradient)))


def _shrink(g, norm, most):
    factor = ops.where(norm > most, most / norm, 1.0)
    return g * ops.cast(factor, g.dtype)
