"""The order of work of one step, the same for every rule.

1. sum micro-batches, locally; 2. one all-reduce; 3. unscale, look for NaN and inf once
for all replicas; 4. clip the reduced gradient; 5. the rule, with its modifiers, decay
and multipliers; 6. constraints, averages, write. Steps 2 to 6 run once per update, and
only an update counts.

Numbers that scale a gradient are collected in a factor, and applied where the rule
reads the gradient anyway.
"""

from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_gdx.engine import backend
from keras_gdx.engine.clipping import factors_of, scaled
from keras_gdx.engine.groups import Group
from keras_gdx.engine.shards import move_pieces
from keras_gdx.engine.start import begin
from keras_gdx.engine.state import DENSE, ROWS, wide
from keras_gdx.engine.update import move_group, move_rows


class Task(NamedTuple):
    """A group with the gradient of this step.

    Attributes:
        group: The group.
        gradient: One gradient for all its variables.
        present: For each of its variables, whether it has a gradient; `None`: all have.
    """

    group: Group
    gradient: Any
    present: Any = None


def step(optimizer, gradients):
    """Takes one micro-batch's gradients, by index of variable: an update, or a share of one."""
    state = optimizer.state
    begin(optimizer)
    gradients = {i: _as_kept(optimizer, i, g) for i, g in gradients.items()}
    if state.count is None:
        _update(optimizer, _tasks(state, gradients), _given(optimizer, gradients), None)
        return
    marks = _add(optimizer, gradients)
    state.count.assign(state.count + 1)
    window = optimizer.hyperparameters.read("float32")["gradient_accumulation_steps"]
    full = ops.cast(state.count, "float32") >= window.value
    close = partial(_close_window, optimizer, marks)
    backend.run_if(full, close, [], optimizer.variables + optimizer.built_with)


def _as_kept(optimizer, index, gradient):
    """The gradient in the dtype in which its variable is treated."""
    moved = optimizer.model_variables
    if index < len(moved):
        dtype = wide(moved[index])
        return backend.with_values(gradient, ops.cast(backend.values(gradient), dtype))
    return ops.cast(backend.dense(gradient), optimizer.overwritten[index - len(moved)].dtype)


def _tasks(state, gradients):
    tasks = []
    for group in state.groups:
        known = [gradients.get(i) for i in group.indices]
        has = [g is not None for g in known]
        if not any(has):
            continue
        present = None if all(has) else ops.convert_to_tensor(has)
        if group.packed:
            dense = [
                ops.zeros(shape, group.dtype) if g is None else backend.dense(g)
                for g, shape in zip(known, group.shapes, strict=True)
            ]
            tasks.append(Task(group, group.join(dense), present))
        else:
            tasks.append(Task(group, known[0], present))
    return tasks


def _given(optimizer, gradients):
    """Pairs of a variable that is overwritten and its new value."""
    pairs = enumerate(optimizer.overwritten, len(optimizer.model_variables))
    return [(variable, gradients[i]) for i, variable in pairs if i in gradients]


def _add(optimizer, gradients):
    """Adds a micro-batch to the open window; returns what is known of each variable's gradient.

    Of variables that are overwritten the largest value counts: those are extremes of a batch.
    """
    state = optimizer.state
    marks = np.zeros(state.seen.shape, "int32")
    for i, gradient in gradients.items():
        by_rows = optimizer.sparse == "lazy" and backend.rows(gradient) is not None
        marks[i] = ROWS if by_rows else DENSE
    for group, gradient, _ in _tasks(state, gradients):
        group.total.assign(group.total + backend.dense(gradient))
    for i, largest in enumerate(state.largest, len(optimizer.model_variables)):
        if i in gradients:
            more = ops.maximum(largest, gradients[i])
            largest.assign(ops.where(state.seen[i] > 0, more, gradients[i]))
    state.seen.assign(ops.maximum(state.seen, marks))
    return marks


def flush(optimizer):
    """Applies what an open accumulation window holds, scaled by what was really summed."""
    state = optimizer.state
    if state is None or state.count is None or not state.count.numpy():
        return
    seen = state.seen.numpy()
    complete = bool((seen == DENSE).all())
    if complete not in state.closers:  # traced once
        marks = seen if complete else np.zeros_like(seen)
        close = partial(_close_window, optimizer, marks, [])
        state.closers[complete] = backend.outside_step(optimizer, close)
    state.closers[complete]()


def _close_window(optimizer, marks, _):
    """Makes an update of all that was summed.

    Args:
        optimizer: The optimizer.
        marks: What is known of the variables' gradients while this is traced: where there is
            nothing, only what steps that were traced otherwise have left can tell.
    """
    state = optimizer.state
    seen, count = backend.snapshot(state.seen), backend.snapshot(state.count)
    tasks = []
    for group in state.groups:
        known = marks[group.indices]
        present = None if known.all() else ops.take(seen, group.indices) > 0
        total = backend.snapshot(group.total)
        group.total.assign(ops.zeros_like(total))
        if optimizer.sparse == "lazy" and known[0] != DENSE and group.shape:
            total = backend.only_rows(total, seen[group.indices[0]] == DENSE)
        tasks.append(Task(group, total, present))
    pairs = zip(optimizer.overwritten, state.largest, strict=True)
    given = [
        (variable, ops.where(seen[i] > 0, largest, variable))
        for i, (variable, largest) in enumerate(pairs, len(optimizer.model_variables))
    ]
    state.seen.assign(ops.zeros_like(seen))
    state.count.assign(0)
    _update(optimizer, tasks, given, 1.0 / ops.cast(count, "float32"))


def _update(optimizer, tasks, given, factor):
    gradients = optimizer.reduced([task.gradient for task in tasks], optimizer.reduce_dtype)
    values = optimizer.extremes([value for _, value in given])
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
    """Whether no entry, times the factor, is NaN or infinite."""
    if not gradients:
        return ops.convert_to_tensor(True)
    energy = sum(ops.cast(backend.energy(g), "float32") for g in gradients)
    energy = energy if factor is None else energy * factor * factor

    def each():  # the sum of the squares may have run over
        parts = [ops.all(ops.isfinite(backend.values(scaled(g, factor)))) for g in gradients]
        return ops.all(ops.stack(parts))

    return ops.cond(ops.isfinite(energy), lambda: ops.convert_to_tensor(True), each)


def _move(optimizer, tasks, overwritten, given):
    gradients, values, factor = given
    for variable, value in zip(overwritten, values, strict=True):
        variable.assign(value)
    iterations = backend.snapshot(optimizer.iterations)
    if tasks:
        _move_groups(optimizer, iterations, tasks, gradients, *factor)
    optimizer.iterations.assign(iterations + 1)


def _move_groups(optimizer, iterations, tasks, gradients, factor=None):
    tasks = [task._replace(gradient=g) for task, g in zip(tasks, gradients, strict=True)]
    dtypes = {task.group.dtype for task in tasks}
    h = {dtype: optimizer.scalars(iterations, dtype) for dtype in dtypes}
    widest = h[max(dtypes)]
    factors = factors_of(tasks, widest, factor)
    if optimizer.surveys:
        found = _survey(optimizer, widest, Model(optimizer, widest, tasks, factors))
        for dtype in dtypes:
            h[dtype] = h[dtype].but(**{name: ops.cast(x, dtype) for name, x in found.items()})
    packed = {dtype: cache(scalars.pack) for dtype, scalars in h.items()}
    divided = []
    for task, factor in zip(tasks, factors, strict=True):
        rows, dtype = backend.rows(task.gradient), task.group.dtype
        if task.group.replicas > 1:
            divided.append((task, factor))
        elif rows is None or optimizer.sparse == "dense":
            move_group(optimizer, h[dtype], packed[dtype], task, factor)
        else:
            move_rows(optimizer, h[dtype], task, factor, rows)
    if divided:
        move_pieces(optimizer, h, packed, divided)


class Model:
    """All that a rule may look at in a survey, read when it is asked for.

    A variable without a gradient is one whose gradient is 0.
    """

    def __init__(self, optimizer, h, tasks, factors):
        self._optimizer = optimizer
        self._h = h
        self._reduced = {
            id(task.group): (task.gradient, factor)
            for task, factor in zip(tasks, factors, strict=True)
        }

    @property
    def gradients(self):
        """The reduced, clipped gradients."""
        found: dict = {}
        for group in self._optimizer.state.groups:
            found |= zip(group.indices, group.parts(self._gradient(group)), strict=True)
        return [found[i] for i in sorted(found)]

    def _gradient(self, group):
        if id(group) not in self._reduced:
            return ops.zeros(group.shape, group.dtype)
        gradient, factor = self._reduced[id(group)]
        return scaled(backend.dense(gradient), factor, self._h)

    @property
    def weights(self):
        """The weights before the update."""
        return [ops.cast(v, wide(v)) for v in self._optimizer.model_variables]

    @property
    def slots(self):
        """For each variable its slots by name."""
        state = self._optimizer.state
        return [
            {
                name: ops.cast(slot.read(), state.home[i][0].dtype)
                for name, slot in state.slots[i].items()
            }
            for i in sorted(state.home)
        ]


def _survey(optimizer, h, model):
    shared = optimizer.state.shared.values()
    found, *new = optimizer.survey(h, model, *(ops.convert_to_tensor(v) for v in shared))
    for variable, value in zip(shared, new, strict=True):
        variable.assign(ops.cast(value, variable.dtype))
    return found
