"""One update of one bucket: a pure function of tensors, and the ways to run it.

It runs as part of the surrounding step. If that is not compiled, it may run as a compiled program
of its own, which reads and writes every tensor once, in place. Both give the same weights.
"""

from keras import ops

from keras_gdx.backends import backend
from keras_gdx.engine.clipping import scaled
from keras_gdx.engine.low_precision import narrowed, widened
from keras_gdx.engine.variables.masks import masked
from keras_gdx.math import ema


def move_bucket(optimizer, h, packed, task, factor):
    """Updates the variables of a bucket, their moving averages and their slots.

    Args:
        optimizer: The optimizer.
        h: The `Scalars` of this update.
        packed: Function that returns `h.pack()`, computed once for all buckets.
        task: The bucket with its gradient.
        factor: The factor of the gradient, or `None`.
    """
    bucket, state = task.bucket, optimizer.state
    kept = [bucket.together(optimizer.model_variables)]
    if state.averages:
        kept.append(bucket.together(state.averages))
    kept += slot_variables(bucket)
    own = bucket.spec.multiplier, float(bucket.indices[0])
    gradient = backend.ensure_shape(backend.dense(task.gradient), bucket.shape)  # if it was sparse

    def update(h, own, gradient, factor, present, mask, old):
        h = h.replace(multiplier=own[0], index=own[1])
        stored, *rest = old
        averages = [rest.pop(0)] if optimizer.use_ema else []
        w, slots = advance(optimizer, bucket, h, scaled(gradient, factor, h), stored, rest)
        w, averages = conclude(optimizer, bucket.constraint, mask, h, w, *averages)
        w, slots = narrowed(optimizer, h, w, slots, stored.dtype)
        new = [w, *averages, *encoded(bucket, slots)]
        return [bucket.choose(present, x, was) for x, was in zip(new, old, strict=True)]

    args = own, gradient, factor, task.present, bucket.mask(optimizer.model_variables)
    overwrite(optimizer, bucket, "all", h, packed, update, kept, *args)


def overwrite(optimizer, bucket, key, h, packed, update, kept, own, *args):
    """Assigns `update(h, own, *args, old)` to `kept`, compiled if the bucket is fused."""
    if not backend.fuses(bucket.fused):
        old = [backend.dense(x.value) for x in kept]
        for x, value in zip(kept, update(h, own, *args, old), strict=True):
            x.assign(value)
        return
    structure, numbers = packed()
    programs = optimizer.state.programs
    key = bucket.kind, key, tuple(x.dtype for x in kept)
    if key not in programs:
        programs[key] = backend.program(
            lambda numbers, *rest: update(structure.unpack(numbers), *rest),
            elementwise=bucket.separates_entries,
        )
    programs[key](kept, numbers, ops.convert_to_tensor(own, bucket.dtype), *args)


def slot_variables(bucket):
    """The variables of all slots of a bucket."""
    return [v for storage in bucket.slots.values() for v in storage.variables]


def advance(optimizer, bucket, h, gradient, stored, contents, until=None):
    """The weights and slots after the rule, given the stored weights and slot contents.

    With `until` it stops at that modifier, as `Rule.advance` says.
    """
    contents = iter(contents)
    slots = {
        name: ops.cast(storage.decode([next(contents) for _ in storage.variables]), bucket.dtype)
        for name, storage in bucket.slots.items()
    }
    w = widened(stored, slots, bucket.dtype)
    return optimizer.advance(h, bucket.spec, gradient, w, slots, until)


def encoded(bucket, slots):
    """The contents to store for all slots."""
    pairs = zip(bucket.slots.values(), slots.values(), strict=True)
    return [x for storage, value in pairs for x in storage.encode(value)]


def conclude(optimizer, constraint, mask, h, w, *averages):
    """Applies constraint, mask and moving average: returns the weights, and a list of averages."""
    w = masked(w if constraint is None else constraint(w), mask)
    if not averages:
        return w, []
    average = ops.where(h.t == 1, w, ema(averages[0], w, h.ema_momentum))
    if every := optimizer.ema_overwrite_frequency:
        average_now = masked(average, mask)
        w = ops.where(ops.cast(h.t, "int32") % every == 0, average_now, w)
    return w, [average]


def move_rows(optimizer, h, task, factor, rows):
    """Applies the rule only to the rows that a sparse gradient names."""
    bucket, state = task.bucket, optimizer.state
    (index,) = bucket.indices
    variable, dtype = optimizer.model_variables[index], bucket.dtype
    h = h.replace(multiplier=bucket.spec.multiplier, index=float(index))
    gradient = backend.values(scaled(task.gradient, factor, h))
    gradient = ops.reshape(gradient, (-1, *variable.shape[1:]))  # its rank may be unknown
    old = {
        name: ops.cast(
            storage.decode_rows([backend.read_rows(v, rows, v.dtype) for v in storage.variables]),
            dtype,
        )
        for name, storage in bucket.slots.items()
    }
    w = widened(backend.read_rows(variable, rows, dtype), old, dtype)
    w, new = optimizer.advance(h, bucket.spec, gradient, w, old)
    w, new = narrowed(optimizer, h, w, new, variable.dtype)
    backend.write_rows(variable, rows, w)
    for name, value in new.items():
        storage = bucket.slots[name]
        for v, content in zip(storage.variables, storage.encode_rows(value), strict=True):
            backend.write_rows(v, rows, content)
    mask = bucket.mask(optimizer.model_variables)
    whole_table = state.averages, bucket.constraint, mask
    if any(x is not None for x in whole_table):  # these apply to every row
        averages = [state.averages[index]] if state.averages else []
        whole = ops.cast(variable, dtype)
        w, averaged = conclude(optimizer, bucket.constraint, mask, h, whole, *averages)
        touched = [variable, *averages]
        before = [ops.convert_to_tensor(x) for x in touched]
        for x, value, was in zip(touched, [w, *averaged], before, strict=True):
            x.assign(bucket.choose(task.present, value, was))
