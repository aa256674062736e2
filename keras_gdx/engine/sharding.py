"""Optimizer state that is sharded over replicas.

The reduced gradient, which all replicas have, is cut into shards. Each replica applies the rule to
its shard, and only it has the slots for that. One all-gather then gives every replica the new
weights. Constraints, moving averages and rounding follow unchanged (ZeRO stage 1,
arXiv:1910.02054).
"""

from keras import ops

from keras_gdx.backends import backend
from keras_gdx.engine.clipping import scaled
from keras_gdx.engine.low_precision import LOST, narrowed
from keras_gdx.engine.state.storage import chosen
from keras_gdx.engine.update import advance, conclude, encoded, overwrite, slot_variables


class WeightShard:
    """This replica's shard of the weights, with the interface of a variable."""

    def __init__(self, value):
        self.value = value
        self.dtype = value.dtype

    def assign(self, value):
        """Sets the new weights."""
        self.value = value


def move_shards(optimizer, h, packed, divided):
    """Updates the buckets that are sharded over replicas.

    Args:
        optimizer: The optimizer.
        h: The `Scalars` of this update, by dtype.
        packed: For each dtype a function that returns `h.pack()`.
        divided: Pairs of a task and the factor of its gradient, or `None`.
    """
    moved = [
        _advanced(optimizer, h[dtype], packed[dtype], task, factor)
        for task, factor in divided
        for dtype in [task.bucket.dtype]
    ]
    wholes = backend.gather([shard.value for shard in moved])
    for (task, _), shards in zip(divided, wholes, strict=True):
        _settle(optimizer, h[task.bucket.dtype], task, task.bucket.uncut(shards))


def _advanced(optimizer, h, packed, task, factor):
    """Applies the rule to this replica's shard: returns its new weights, and writes its slots."""
    bucket = task.bucket
    replica = backend.replica_index(bucket.replicas)
    present = bucket.present(task.present, replica)
    weights = bucket.join(bucket.members(optimizer.model_variables))
    shard = WeightShard(ops.cast(bucket.cut(weights, replica), bucket.dtype))
    gradient = bucket.cut(backend.dense(task.gradient), replica)
    if factor is not None and len(factor.shape):
        factor = bucket.cut(factor, replica)

    def update(h, own, gradient, factor, present, old):
        h = h.replace(multiplier=own[0], index=own[1])
        w, slots = advance(optimizer, bucket, h, scaled(gradient, factor, h), old[0], old[1:])
        new = [w, *encoded(bucket, slots)]
        return [chosen(present, x, was) for x, was in zip(new, old, strict=True)]

    kept = [shard, *slot_variables(bucket)]
    own = bucket.spec.multiplier, bucket.index_at(replica)
    args = own, gradient, factor, present
    overwrite(optimizer, bucket, "shard", h, packed, update, kept, *args)
    return shard


def _settle(optimizer, h, task, w):
    """Writes the new weights, their moving averages and their rounding errors."""
    bucket, state = task.bucket, optimizer.state
    h = h.replace(multiplier=bucket.spec.multiplier, index=float(bucket.indices[0]))
    kept = [bucket.together(optimizer.model_variables)]
    if state.averages:
        kept.append(bucket.together(state.averages))
    old = [backend.dense(x.value) for x in kept]
    mask = bucket.mask(optimizer.model_variables)
    w, averages = conclude(optimizer, bucket.constraint, mask, h, w, *old[1:])
    lost = {LOST: None} if LOST in bucket.slots else {}
    w, lost = narrowed(optimizer, h, w, lost, kept[0].dtype)
    for x, new, was in zip(kept, [w, *averages], old, strict=True):
        x.assign(bucket.choose(task.present, new, was))
    if lost:
        (variable,) = bucket.slots[LOST].variables
        replica = backend.replica_index(bucket.replicas)
        new = bucket.cut(lost[LOST], replica)
        present = bucket.present(task.present, replica)
        variable.assign(chosen(present, new, backend.dense(variable)))
