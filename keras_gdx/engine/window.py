"""The accumulation window: the micro-batches whose gradients are summed for one update.

The first micro-batch of a window overwrites the sums of the last one, so that nothing has to be set
to zero.
"""

import numpy as np
from keras import ops

from keras_gdx.backends import backend
from keras_gdx.engine.state.packing import Task
from keras_gdx.engine.state.state import DENSE, ROWS


def add(optimizer, gradients, tasks):
    """Adds a micro-batch to the open window.

    An overwritten variable (as in float8 layers) keeps the largest value of the window, because its
    values are extremes of a batch.

    Args:
        optimizer: The optimizer.
        gradients: Gradients by variable index.
        tasks: The buckets with the same gradients.

    Returns:
        An array with one entry per variable, as in `State.seen`, for this micro-batch.
    """
    state = optimizer.state
    marks = np.zeros(state.seen.shape, "int32")
    for i, gradient in gradients.items():
        by_rows = optimizer.sparse == "lazy" and backend.rows(gradient) is not None
        marks[i] = ROWS if by_rows else DENSE
    first = state.count == 0
    given = {id(bucket): backend.dense(gradient) for bucket, gradient, _ in tasks}
    for bucket in state.buckets:
        _add(optimizer, bucket, given.get(id(bucket)), first)
    for i, largest in enumerate(state.largest, len(optimizer.model_variables)):
        if i in gradients:
            more = ops.maximum(largest, gradients[i])
            largest.assign(ops.where(state.seen[i] > 0, more, gradients[i]))
    complete = (marks == DENSE).all()
    state.seen.assign(marks if complete else ops.maximum(state.seen, marks))
    return marks


def _add(optimizer, bucket, gradient, first):
    """Adds a gradient, if there is one, to the sum of the bucket's gradients."""

    def summed(first, gradient, old):
        (total,) = old
        if gradient is None:
            return [ops.where(first, ops.zeros((), total.dtype), total)]
        return [ops.where(first, gradient, total + gradient)]

    if gradient is not None and backend.fuses(bucket.fused):
        programs = optimizer.state.programs
        key = "sum", bucket.shape, bucket.dtype
        if key not in programs:
            programs[key] = backend.program(summed, elementwise=True)
        programs[key]([bucket.total], first, gradient)
    else:
        old = [ops.convert_to_tensor(bucket.total)]
        bucket.total.assign(*summed(first, gradient, old))


def take(optimizer, marks):
    """Closes the window.

    Args:
        optimizer: The optimizer.
        marks: What `add` returned for the last micro-batch. For variables without a gradient there,
            `State.seen` decides at run time: micro-batches of a window may be traced separately.

    Returns:
        The buckets with their accumulated gradients, pairs of an overwritten variable and its new
        value, and the factor that turns sums into means.
    """
    state = optimizer.state
    seen, count = backend.snapshot(state.seen), backend.snapshot(state.count)
    state.count.assign(0)
    tasks = []
    for bucket in state.buckets:
        known = marks[bucket.indices]
        present = None if known.all() else ops.take(seen, bucket.indices) > 0
        total = backend.snapshot(bucket.total)
        if optimizer.sparse == "lazy" and known[0] != DENSE and bucket.shape:
            total = backend.only_rows(total, seen[bucket.indices[0]] == DENSE)
        tasks.append(Task(bucket, total, present))
    pairs = zip(optimizer.overwritten, state.largest, strict=True)
    given = [
        (variable, ops.where(seen[i] > 0, largest, variable))
        for i, (variable, largest) in enumerate(pairs, len(optimizer.model_variables))
    ]
    state.seen.assign(ops.zeros_like(seen))
    return tasks, given, 1.0 / ops.cast(count, "float32")
