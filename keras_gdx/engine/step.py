"""The order of work of one step, the same for every rule.

1. sum micro-batches, locally; 2. one all-reduce; 3. unscale, look for NaN and inf once
for all replicas; 4. clip the reduced gradient; 5. the rule, with its modifiers, decay
and multipliers; 6. constraints, write; 7. averages. Steps 2 to 7 run once per update,
and only an update counts.
"""

from functools import partial

from keras import ops

from keras_gdx.engine import backend
from keras_gdx.engine.clipping import clip
from keras_gdx.engine.state import AVERAGE, wide
from keras_gdx.math import ema


def step(optimizer, gradients, variables):
    """Takes one micro-batch's gradients: a whole update, or a share of one."""
    state = optimizer.state
    indices = [optimizer.index(v) for v in variables]
    state.active.update(indices)
    gradients = [
        backend.with_values(g, ops.cast(backend.values(g), wide(v)))
        for g, v in zip(gradients, variables, strict=True)
    ]
    if not state.sums:
        _update(optimizer, variables, gradients, 1.0)
        return
    for index, gradient in zip(indices, gradients, strict=True):
        if optimizer.sparse == "lazy" and backend.rows(gradient) is not None:
            state.by_rows.add(index)
        total = state.sums[index]
        total.assign(total + backend.dense(gradient))
    state.count.assign(state.count + 1)
    full = ops.greater_equal(state.count, optimizer.gradient_accumulation_steps)
    close = partial(_close_window, optimizer, variables)
    backend.run_if(full, close, [], optimizer.variables + variables)


def flush(optimizer):
    """Applies what an open accumulation window holds, scaled by what was really summed."""
    state = optimizer.state
    if state is None or not state.sums or not state.active or not state.count.numpy():
        return
    active = tuple(sorted(state.active))
    if active not in state.closers:  # traced once
        variables = [optimizer.model_variables[i] for i in active]
        close = partial(_close_window, optimizer, variables, [])
        state.closers[active] = backend.outside_step(optimizer, close)
    state.closers[active]()


def _close_window(optimizer, variables, _):
    state = optimizer.state
    gradients = []
    for index in map(optimizer.index, variables):
        total = backend.snapshot(state.sums[index])
        state.sums[index].assign(ops.zeros_like(total))
        gradients.append(backend.only_rows(total) if index in state.by_rows else total)
    count = backend.snapshot(state.count)
    state.count.assign(0)
    _update(optimizer, variables, gradients, 1.0 / ops.cast(count, "float32"))


def _update(optimizer, variables, gradients, scale):
    gradients = backend.reduce(gradients)
    if optimizer.loss_scale_factor:
        scale = scale / optimizer.loss_scale_factor
    if not (isinstance(scale, float) and scale == 1.0):
        gradients = [
            backend.with_values(g, backend.values(g) * ops.cast(scale, backend.values(g).dtype))
            for g in gradients
        ]
    move = partial(_move, optimizer, variables)
    if optimizer.skip_nonfinite:
        finite = all_finite(gradients)
        backend.run_if(finite, move, gradients, optimizer.variables + variables)
    else:
        move(gradients)


def all_finite(gradients):
    """Whether no entry is NaN or infinite."""
    finite = [ops.all(ops.isfinite(backend.values(g))) for g in gradients]
    return ops.all(ops.stack(finite))


def _move(optimizer, variables, gradients):
    iterations = backend.snapshot(optimizer.iterations)
    dtypes = {wide(v) for v in variables}
    h = {dtype: optimizer.scalars(iterations, dtype) for dtype in dtypes}
    gradients = clip(gradients, h[max(dtypes)])
    if optimizer.surveys:
        found = _survey(optimizer, h[max(dtypes)], Model(optimizer, variables, gradients))
        for dtype in dtypes:
            h[dtype] = h[dtype].but(**{name: ops.cast(x, dtype) for name, x in found.items()})
    for gradient, variable in zip(gradients, variables, strict=True):
        rows = backend.rows(gradient)
        if rows is None or optimizer.sparse == "dense":
            _move_all(optimizer, h[wide(variable)], variable, backend.dense(gradient))
        else:
            _move_rows(optimizer, h[wide(variable)], variable, backend.values(gradient), rows)
    optimizer.iterations.assign(iterations + 1)


class Model:
    """All that a rule may look at in a survey, read when it is asked for."""

    def __init__(self, optimizer, variables, gradients):
        self._slots = [optimizer.state.slots[optimizer.index(v)] for v in variables]
        self._variables = variables
        self._gradients = gradients

    @property
    def gradients(self):
        """The reduced, clipped gradients."""
        return [backend.dense(g) for g in self._gradients]

    @property
    def weights(self):
        """The weights before the update."""
        return [ops.cast(v, wide(v)) for v in self._variables]

    @property
    def slots(self):
        """For each variable its slots by name."""
        return [
            {name: ops.cast(slot.read(), wide(v)) for name, slot in slots.items()}
            for v, slots in zip(self._variables, self._slots, strict=True)
        ]


def _survey(optimizer, h, model):
    shared = optimizer.state.shared.values()
    found, *new = optimizer.survey(h, model, *(ops.convert_to_tensor(v) for v in shared))
    for variable, value in zip(shared, new, strict=True):
        variable.assign(ops.cast(value, variable.dtype))
    return found


def _move_all(optimizer, h, variable, gradient):
    index = optimizer.index(variable)
    slots, dtype = optimizer.state.slots[index], wide(variable)
    w = ops.cast(variable, dtype)
    old = {name: ops.cast(slot.read(), dtype) for name, slot in slots.items()}
    average = old.pop(AVERAGE, None)
    w, new = optimizer.advance(h, optimizer.state.facts[index], gradient, w, old)
    _conclude(optimizer, h, variable, w, slots.get(AVERAGE), average)
    for name, value in new.items():
        slots[name].write(value)


def _move_rows(optimizer, h, variable, gradient, rows):
    """Applies the rule to the rows that the gradient names, and to no others."""
    index = optimizer.index(variable)
    slots, dtype = dict(optimizer.state.slots[index]), wide(variable)
    average = slots.pop(AVERAGE, None)
    w = backend.read_rows(variable, rows, dtype)
    old = {name: backend.read_rows(slot.read(), rows, dtype) for name, slot in slots.items()}
    w, new = optimizer.advance(h, optimizer.state.facts[index], gradient, w, old)
    backend.write_rows(variable, rows, w)
    for name, value in new.items():
        backend.write_rows(slots[name].read(), rows, value)
    if average or variable.constraint is not None:  # these concern every row
        old = average and ops.cast(average.read(), dtype)
        _conclude(optimizer, h, variable, ops.cast(variable, dtype), average, old)


def _conclude(optimizer, h, variable, w, slot, average):
    """Constrains, averages and writes the weights."""
    if variable.constraint is not None:
        w = variable.constraint(w)
    if slot is not None:
        average = ops.where(h.t == 1, w, ema(average, w, h.ema_momentum))
        slot.write(average)
        if every := optimizer.ema_overwrite_frequency:
            w = ops.where(ops.cast(h.t, "int32") % every == 0, average, w)
    variable.assign(ops.cast(w, variable.dtype))
