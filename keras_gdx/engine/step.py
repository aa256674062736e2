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

from keras import ops

from keras_gdx.engine import backend
from keras_gdx.engine.clipping import factors_of, scaled
from keras_gdx.engine.groups import Group
from keras_gdx.engine.shards import move_pieces
from keras_gdx.engine.state import wide
from keras_gdx.engine.update import move_group, move_rows


class Task(NamedTuple):
    """A group with the gradient of this step.

    Attributes:
        group: The group.
        gradient: One gradient for all its variables.
        present: For each of its variables, whether it has a gradient.
    """

    group: Group
    gradient: Any
    present: tuple[bool, ...]


def step(optimizer, gradients, variables):
    """Takes one micro-batch's gradients: a whole update, or a share of one."""
    state = optimizer.state
    indices = [optimizer.index(v) for v in variables]
    state.active.update(indices)
    gradients = [
        backend.with_values(g, ops.cast(backend.values(g), wide(v)))
        for g, v in zip(gradients, variables, strict=True)
    ]
    tasks = _tasks(state, dict(zip(indices, gradients, strict=True)))
    if state.count is None:
        _update(optimizer, tasks, None)
        return
    for group, gradient, _ in tasks:
        if optimizer.sparse == "lazy" and backend.rows(gradient) is not None:
            state.by_rows.update(group.indices)
        group.total.assign(group.total + backend.dense(gradient))
    state.count.assign(state.count + 1)
    window = optimizer.hyperparameters.read("float32")["gradient_accumulation_steps"]
    full = ops.cast(state.count, "float32") >= window.value
    close = partial(_close_window, optimizer, frozenset(indices))
    backend.run_if(full, close, [], optimizer.variables + variables)


def _tasks(state, gradients):
    tasks = []
    for group in state.groups:
        present = tuple(i in gradients for i in group.indices)
        if group.packed and any(present):
            known = [gradients.get(i) for i in group.indices]
            dense = [
                ops.zeros(shape, group.dtype) if g is None else backend.dense(g)
                for g, shape in zip(known, group.shapes, strict=True)
            ]
            tasks.append(Task(group, group.join(dense), present))
        elif any(present):
            tasks.append(Task(group, gradients[group.indices[0]], present))
    return tasks


def flush(optimizer):
    """Applies what an open accumulation window holds, scaled by what was really summed."""
    state = optimizer.state
    if state is None or state.count is None or not state.active or not state.count.numpy():
        return
    active = frozenset(state.active)
    if active not in state.closers:  # traced once
        close = partial(_close_window, optimizer, active, [])
        state.closers[active] = backend.outside_step(optimizer, close)
    state.closers[active]()


def _close_window(optimizer, indices, _):
    state = optimizer.state
    tasks = []
    for group in state.groups:
        present = tuple(i in indices for i in group.indices)
        if any(present):
            total = backend.snapshot(group.total)
            group.total.assign(group.choose(present, ops.zeros_like(total), total))
            by_rows = group.indices[0] in state.by_rows
            total = backend.only_rows(total) if by_rows else total
            tasks.append(Task(group, total, present))
    count = backend.snapshot(state.count)
    state.count.assign(0)
    _update(optimizer, tasks, 1.0 / ops.cast(count, "float32"))


def _update(optimizer, tasks, factor):
    gradients = optimizer.reduced([task.gradient for task in tasks], optimizer.reduce_dtype)
    if optimizer.loss_scale_factor:
        factor = (1.0 if factor is None else factor) / optimizer.loss_scale_factor
    factor = [] if factor is None else [ops.convert_to_tensor(factor, "float32")]
    move = partial(_move, optimizer, tasks)
    if optimizer.skip_nonfinite:
        finite = all_finite(gradients, *factor)
        touched = optimizer.variables + optimizer.model_variables
        backend.run_if(finite, move, [gradients, factor], touched)
    else:
        move([gradients, factor])


def all_finite(gradients, factor=None):
    """Whether no entry, times the factor, is NaN or infinite."""
    energy = sum(ops.cast(backend.energy(g), "float32") for g in gradients)
    energy = energy if factor is None else energy * factor * factor

    def each():  # the sum of the squares may have run over
        parts = [ops.all(ops.isfinite(backend.values(scaled(g, factor)))) for g in gradients]
        return ops.all(ops.stack(parts))

    return ops.cond(ops.isfinite(energy), lambda: ops.convert_to_tensor(True), each)


def _move(optimizer, tasks, given):
    gradients, factor = given
    tasks = [task._replace(gradient=g) for task, g in zip(tasks, gradients, strict=True)]
    iterations = backend.snapshot(optimizer.iterations)
    dtypes = {task.group.dtype for task in tasks}
    h = {dtype: optimizer.scalars(iterations, dtype) for dtype in dtypes}
    widest = h[max(dtypes)]
    factors = factors_of(tasks, widest, *factor)
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
    optimizer.iterations.assign(iterations + 1)


class Model:
    """All that a rule may look at in a survey, read when it is asked for."""

    def __init__(self, optimizer, h, tasks, factors):
        self._optimizer = optimizer
        self._h = h
        self._tasks = tasks
        self._factors = factors
        self._indices = [
            i
            for task in tasks
            for i, has in zip(task.group.indices, task.present, strict=True)
            if has
        ]

    @property
    def gradients(self):
        """The reduced, clipped gradients."""
        return [
            part
            for task, factor in zip(self._tasks, self._factors, strict=True)
            for part, has in zip(
                task.group.parts(scaled(backend.dense(task.gradient), factor, self._h)),
                task.present,
                strict=True,
            )
            if has
        ]

    @property
    def weights(self):
        """The weights before the update."""
        variables = [self._optimizer.model_variables[i] for i in self._indices]
        return [ops.cast(v, wide(v)) for v in variables]

    @property
    def slots(self):
        """For each variable its slots by name."""
        state = self._optimizer.state
        return [
            {
                name: ops.cast(slot.read(), state.home[i][0].dtype)
                for name, slot in state.slots[i].items()
            }
            for i in self._indices
        ]


def _survey(optimizer, h, model):
    shared = optimizer.state.shared.values()
    found, *new = optimizer.survey(h, model, *(ops.convert_to_tensor(v) for v in shared))
    for variable, value in zip(shared, new, strict=True):
        variable.assign(ops.cast(value, variable.dtype))
    return found
