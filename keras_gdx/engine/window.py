"""Micro-batches that are summed until there are enough for an update."""

import numpy as np
from keras import ops

from keras_gdx.backends import backend
from keras_gdx.engine.state.packing import Task
from keras_gdx.engine.state.state import DENSE, ROWS


def add(optimizer, gradients, tasks):
    """Adds a micro-batch to the open window.

    Of variables that are overwritten the largest value counts: those are extremes of a batch.

    Args:
        optimizer: The optimizer.
        gradients: By index of variable.
        tasks: The buckets with the same gradients.

    Returns:
        An array with an entry for each variable, as `State.seen`, of this micro-batch.
    """
    state = optimizer.state
    marks = np.zeros(state.seen.shape, "int32")
    for i, gradient in gradients.items():
        by_rows = optimizer.sparse == "lazy" and backend.rows(gradient) is not None
        marks[i] = ROWS if by_rows else DENSE
    for bucket, gradient, _ in tasks:
        bucket.total.assign(bucket.total + backend.dense(gradient))
    for i, largest in enumerate(state.largest, len(optimizer.model_variables)):
        if i in gradients:
            more = ops.maximum(largest, gradients[i])
            largest.assign(ops.where(state.seen[i] > 0, more, gradients[i]))
    complete = (marks == DENSE).all()
    state.seen.assign(marks if complete else ops.maximum(state.seen, marks))
    return marks


def take(optimizer, marks):
    """Closes the window.

    Args:
        optimizer: The optimizer.
        marks: What `add` returned. Of variables that have no gradient there, only `State.seen` can
            tell whether they had one before: steps of a window may have been traced apart.

    Returns:
        The buckets with their sums, pairs of a variable that is overwritten and its new value, and
        the factor that makes means of sums.
    """
    state = optimizer.state
    seen, count = backend.snapshot(state.seen), backend.snapshot(state.count)
    tasks = []
    for bucket in state.buckets:
        known = marks[bucket.indices]
        present = None if known.all() else ops.take(seen, bucket.indices) > 0
        total = backend.snapshot(bucket.total)
        bucket.total.assign(ops.zeros_like(total))
        if optimizer.sparse == "lazy" and known[0] != DENSE and bucket.shape:
            total = backend.only_rows(total, seen[bucket.indices[0]] == DENSE)
        tasks.append(Task(bucket, total, present))
    pairs = zip(optimizer.overwritten, state.largest, strict=True)
    given = [
        (variable, ops.where(seen[i] > 0, largest, variable))
        for i, (variable, largest) in enumerate(pairs, len(optimizer.model_variables))
    ]
    state.seen.assign(ops.zeros_like(seen))
    state.count.assign(0)
    return tasks, given, 1.0 / ops.cast(count, "float32")
