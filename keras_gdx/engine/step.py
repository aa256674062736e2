"""The order of operations in one step, the same for every rule.

1. Accumulate micro-batches, locally. 2. One all-reduce. 3. Unscale; check for NaN and infinity,
once for all replicas. 4. Clip the reduced gradient. 5. Apply the rule, with its modifiers, decay
and multipliers. 6. Apply constraints, update moving averages, write. Steps 2 to 6 run once per
update, and only updates are counted.

Scalars that scale a gradient are collected in one factor, which is applied where the rule reads
the gradient. That saves a pass over it.
"""

from functools import cache, partial

import numpy as np
from keras import ops

from keras_gdx.backends import backend
from keras_gdx.engine.clipping import factors_of, scaled
from keras_gdx.engine.global_stats import global_stats
from keras_gdx.engine.late_weights import begin
from keras_gdx.engine.sharding import move_shards
from keras_gdx.engine.state.packing import Task
from keras_gdx.engine.state.state import DENSE, wide
from keras_gdx.engine.update import move_bucket, move_rows
from keras_gdx.engine.window import add, take

REDUCTIONS = {
    "global": backend.reduce,  # all replicas make the same update
    "local": backend.own,  # each replica makes its own update
    "none": backend.as_given,  # gradients are the same on all replicas already
}


def step(optimizer, gradients):
    """Processes one micro-batch's gradients, by variable index; updates if the window is full."""
    state = optimizer.state
    begin(optimizer)
    gradients = {i: _as_kept(optimizer, i, g) for i, g in gradients.items()}
    if state.count is None:
        _update(optimizer, _tasks(state, gradients), _given(optimizer, gradients), None)
        return
    marks = add(optimizer, gradients, _tasks(state, gradients))
    state.count.assign(state.count + 1)
    window = optimizer.hyperparameters.read("float32")["gradient_accumulation_steps"]
    full = ops.cast(state.count, "float32") >= window.value
    close = partial(_close_window, optimizer, marks)
    backend.run_if(full, close, [], optimizer.variables + optimizer.built_with)


def _as_kept(optimizer, index, gradient):
    """The gradient in the dtype in which its variable is updated."""
    moved = optimizer.model_variables
    if index < len(moved):
        dtype = wide(moved[index])
        if optimizer.sparse == "lazy" and not optimizer.state.rules[index].separates_rows:
            gradient = backend.dense(gradient)
        return backend.with_values(gradient, ops.cast(backend.values(gradient), dtype))
    return ops.cast(backend.dense(gradient), optimizer.overwritten[index - len(moved)].dtype)


def _tasks(state, gradients):
    tasks = []
    for bucket in state.buckets:
        known = [gradients.get(i) for i in bucket.indices]
        has = [g is not None for g in known]
        if not any(has):
            continue
        present = None if all(has) else ops.convert_to_tensor(has)
        if bucket.packed:
            dense = [
                ops.zeros(shape, bucket.dtype) if g is None else backend.dense(g)
                for g, shape in zip(known, bucket.shapes, strict=True)
            ]
            tasks.append(Task(bucket, bucket.join(dense), present))
        else:
            tasks.append(Task(bucket, known[0], present))
    return tasks


def _given(optimizer, gradients):
    """Pairs of an overwritten variable and its new value."""
    pairs = enumerate(optimizer.overwritten, len(optimizer.model_variables))
    return [(variable, gradients[i]) for i, variable in pairs if i in gradients]


def flush(optimizer):
    """Applies an open accumulation window, averaged over the micro-batches that it holds."""
    state = optimizer.state
    if state is None or state.count is None or not state.count.numpy():
        return
    seen = state.seen.numpy()
    complete = bool((seen == DENSE).all())
    if complete not in state.closers:  # trace each case once
        marks = seen if complete else np.zeros_like(seen)
        close = partial(_close_window, optimizer, marks, [])
        state.closers[complete] = backend.outside_step(optimizer, close)
    state.closers[complete]()


def _close_window(optimizer, marks, _):
    _update(optimizer, *take(optimizer, marks))


def _update(optimizer, tasks, given, factor):
    reduce = REDUCTIONS[optimizer.reduction]
    gradients = reduce([task.gradient for task in tasks], optimizer.reduce_dtype)
    values = [value for _, value in given]
    values = backend.largest(values) if optimizer.reduction == "global" else values
    if optimizer.loss_scale_factor:
        factor = (1.0 if factor is None else factor) / optimizer.loss_scale_factor
    factor = [] if factor is None else [ops.convert_to_tensor(factor, "float32")]
    move = partial(_move, optimizer, tasks, [variable for variable, _ in given])
    if optimizer.skip_nonfinite:
        finite = all_finite(gradients, *factor) & all_finite(values)
        touched = optimizer.variables + optimizer.built_with
        backend.run_if(finite, move, [gradients, values, factor], touched)
    else:
        move([gradients, values, factor])


def all_finite(gradients, factor=None):
    """Whether every entry, times the factor, is finite."""
    if not gradients:
        return ops.convert_to_tensor(True)
    energy = sum(ops.cast(backend.energy(g), "float32") for g in gradients)
    energy = energy if factor is None else energy * factor * factor

    def each():  # the sum of squares may have overflowed
        parts = [ops.all(ops.isfinite(backend.values(scaled(g, factor)))) for g in gradients]
        return ops.all(ops.stack(parts))

    return ops.cond(ops.isfinite(energy), lambda: ops.convert_to_tensor(True), each)


def _move(optimizer, tasks, overwritten, given):
    gradients, values, factor = given
    for variable, value in zip(overwritten, values, strict=True):
        variable.assign(value)
    iterations = backend.snapshot(optimizer.iterations)
    if tasks:
        _move_buckets(optimizer, iterations, tasks, gradients, *factor)
    optimizer.iterations.assign(iterations + 1)


def _move_buckets(optimizer, iterations, tasks, gradients, factor=None):
    tasks = [task._replace(gradient=g) for task, g in zip(tasks, gradients, strict=True)]
    dtypes = {task.bucket.dtype for task in tasks}
    h = {dtype: optimizer.scalars(iterations, dtype) for dtype in dtypes}
    widest = h[max(dtypes)]
    factors = factors_of(tasks, widest, factor)
    if optimizer.uses_global_stats:
        found = global_stats(optimizer, widest, tasks, factors)
        for dtype in dtypes:
            h[dtype] = h[dtype].replace(**{name: ops.cast(x, dtype) for name, x in found.items()})
    packed = {dtype: cache(scalars.pack) for dtype, scalars in h.items()}
    divided = []
    for task, factor in zip(tasks, factors, strict=True):
        rows, dtype = backend.rows(task.gradient), task.bucket.dtype
        if task.bucket.replicas > 1:
            divided.append((task, factor))
        elif rows is None or optimizer.sparse == "dense":
            move_bucket(optimizer, h[dtype], packed[dtype], task, factor)
        else:
            move_rows(optimizer, h[dtype], task, factor, rows)
    if divided:
        move_shards(optimizer, h, packed, divided)
