"""The gradient to apply in a train step that takes a second one only now and then."""

import tensorflow as tf

from keras_gdx.backends import backend
from keras_gdx.backends.tensorflow import either
from keras_gdx.engine.state.state import widest
from keras_gdx.engine.step import all_finite


def reused(kept, ascent, weights, first, common, second):
    """This replica's gradients, at the moved weights or an estimate of those; all are dense.

    A step whose gradients are not finite leaves what is kept as it was, so the next one tries
    again.

    Args:
        kept: The `KeptDirection` of the model.
        ascent: The `PeriodicAscent`.
        weights: The weights.
        first: Their gradients on this replica.
        common: The same, reduced over the replicas.
        second: Function that computes and returns the gradients at the moved weights.
    """
    direction = kept.parts(weights)
    replicas = tf.distribute.get_replica_context().num_replicas_in_sync
    dtype = widest(weights)

    def dense(gradients):  # the rank of a sparse one may be unknown
        both = zip(gradients, weights, strict=True)
        return [tf.ensure_shape(backend.dense(g), w.shape) for g, w in both]

    def wide(gradients):
        return [tf.cast(g, dtype) for g in dense(gradients)]

    def renew():
        found = second()
        reduced = backend.reduce(found)
        finite = all_finite([*common, *reduced])
        for part, x in zip(direction, ascent.direction(wide(common), wide(reduced)), strict=True):
            part.assign(tf.where(finite, tf.cast(x, part.dtype), part))
        return dense(found), finite

    def reuse():
        pulls = ascent.pull(wide(common), [tf.cast(part, dtype) for part in direction])
        shares = [
            g + tf.cast(p / replicas, g.dtype) for g, p in zip(dense(first), pulls, strict=True)
        ]
        return shares, all_finite(common)

    gradients, finite = either(kept.age == 0, renew, reuse)
    kept.age.assign(tf.where(finite, (kept.age + 1) % ascent.k, kept.age))
    return gradients
