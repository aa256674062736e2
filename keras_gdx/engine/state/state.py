"""Everything that an optimizer keeps between steps, as variables."""

import math
import re
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace

import keras
import numpy as np
from keras import ops

from keras_gdx.backends import backend
from keras_gdx.engine.low_precision import LOST
from keras_gdx.engine.skipped_rows import UPDATED
from keras_gdx.engine.state.packing import buckets_of
from keras_gdx.engine.state.storage import (
    BLOCK,
    SHORTEST,
    SMALLEST,
    EightBit,
    Largest,
    PartialSums,
    Plain,
    Sharded,
)
from keras_gdx.engine.state.views import write_all
from keras_gdx.engine.variables.spec import specs_of
from keras_gdx.engine.variables.structure import path_of

LOW_PRECISION = ("float16", "bfloat16")
AVERAGE = "ema"  # the slot of the weights' moving average
ROWS, DENSE = 1, 2  # values of `State.seen`; 0: no gradient in the open window


def wide(variable):
    """The dtype in which a rule sees `variable`: at least float32."""
    dtype = keras.backend.standardize_dtype(variable.dtype)
    return "float32" if dtype in LOW_PRECISION else dtype


def widest(variables):
    """The dtype in which a rule sees several variables together."""
    return max(map(wide, variables), default="float32")


def is_overwritten(variable):
    """Whether a variable is assigned its gradient as its new value, as float8 layers ask for."""
    return getattr(variable, "overwrite_with_gradient", False)


class State:
    """The variables of a built optimizer.

    Attributes:
        variables: All of them, in the order in which they were made.
        specs: `VariableSpec` of each model variable, overwritten ones last.
        rules: The rule that updates each variable: the optimizer, or one of its parts.
        buckets: The variables, grouped as they are updated.
        home: For each updated variable, its bucket and its position in it.
        slots: For each variable, its storages by name, the moving average included.
        averages: The moving average of each updated variable, or `None`. Keras' callbacks expect
            one variable each, so averages are not packed.
        accumulators: For each variable, the storage of the gradients accumulated in the open
            window; for an overwritten variable, of the largest value. `None` without accumulation.
        largest: The variables that hold those largest values.
        count: The number of micro-batches in `accumulators`.
        seen: For each variable `DENSE` if it had a dense gradient in the window, `ROWS` if all its
            gradients named the only rows to update (`sparse="lazy"`), 0 if it had none.
        late: Whether slots that copy the weights must wait until these have values.
        shared: Scalars kept once for the model, by name.
        closers: Functions that close the window, by whether all variables had dense gradients.
        programs: Compiled updates, by what they were compiled for.

    Args:
        optimizer: The optimizer.
        variables: The variables that it is built with.
        model: Their model, or `None`.
        replicas: The number of shards of the state; 1: every replica has the complete state.
        late: See above.
        new: Function used instead of `allocate`, to plan variables without allocating them.
    """

    def __init__(self, optimizer, variables, model, replicas=1, late=False, new=None):
        everything = sorted(variables, key=is_overwritten)
        updated = [v for v in everything if not is_overwritten(v)]
        overwritten = everything[len(updated) :]
        dtypes = [wide(v) for v in updated]
        self.late = late
        self.variables: list = []
        self.specs = specs_of(optimizer, everything, model)
        self.rules = [optimizer.rule_of(spec) for spec in self.specs[: len(updated)]]
        self.buckets = buckets_of(optimizer, updated, self.specs, self.rules, dtypes, replicas)
        self.home = {
            i: (bucket, n) for bucket in self.buckets for n, i in enumerate(bucket.indices)
        }
        self.closers: dict = {}
        self.programs: dict = {}
        add = partial(self._add, new or allocate, optimizer)
        self._fill_buckets(optimizer, updated, add)
        self.averages = self._make_averages(updated, add) if optimizer.use_ema else None
        self.slots = [self._slots_of(i) for i in range(len(updated))] + [{} for _ in overwritten]
        self.accumulators = self.count = self.seen = None
        self.largest: list = []
        if optimizer.gradient_accumulation_steps:
            self._make_window(optimizer, overwritten, add)
        names = [name for *_, names in surveyed(optimizer, self.rules) for name in names]
        self.shared = {name: add([], name, (), widest(updated), 0.0) for name in names}

    def _add(self, new, optimizer, *args):
        self.variables.append(new(optimizer, *args))
        return self.variables[-1]

    def _fill_buckets(self, optimizer, variables, add):
        """Makes the slots and the gradient accumulator of each bucket."""
        for bucket in self.buckets:
            members = bucket.members(variables)
            make = partial(add, members)
            stored = {
                slot.name: _storage(optimizer, slot, bucket, self.late, make)
                for slot in bucket.rule.all_slots()
            }
            bucket.slots = {name: storage for name, storage in stored.items() if storage}
            if optimizer.skipped == "decay" and members[0].shape and bucket.rule.separates_rows:
                bucket.slots[UPDATED] = Plain(make(UPDATED, members[0].shape[:1], "float32", 0.0))
            if optimizer.precision == "kahan" and members[0].dtype in LOW_PRECISION:
                lost = Plain(make(LOST, bucket.own_shape, members[0].dtype, 0.0))
                bucket.slots[LOST] = _divided(optimizer, bucket, lost)
            if optimizer.gradient_accumulation_steps:
                bucket.total = make("sum", bucket.shape, bucket.dtype, 0.0)

    def _make_averages(self, variables, add):
        """Makes the moving average of each variable."""
        first = 0.0 if self.late else "variable"
        return [add([v], AVERAGE, v.shape, wide(v), first) for v in variables]

    def _make_window(self, optimizer, overwritten, add):
        """Makes what the accumulation window needs, beside the accumulators of the buckets."""
        count = backend.replicas(optimizer), len(backend.local_replicas(optimizer))
        packed = {id(bucket): PartialSums(bucket.total, *count) for bucket in self.buckets}
        self.largest = [add([v], "sum", v.shape, v.dtype, 0.0) for v in overwritten]
        self.accumulators = [self._own(i, packed[id(self.home[i][0])]) for i in sorted(self.home)]
        self.accumulators += [Largest(variable, *count) for variable in self.largest]
        self.count = add([], "summed", (), "int32", 0)
        self.seen = add([], "seen", (len(self.specs),), "int32", 0)

    def _slots_of(self, index):
        """A variable's storages by name, the moving average included."""
        bucket, _ = self.home[index]
        slots = {name: self._own(index, storage) for name, storage in bucket.slots.items()}
        return slots | {AVERAGE: Plain(self.averages[index])} if self.averages else slots

    def copy_weights(self, variables):
        """Copies the weights into all state that starts as a copy of them, between two steps."""
        for bucket in self.buckets:
            if bucket.copied:
                weights = bucket.join([backend.snapshot(v) for v in bucket.members(variables)])
                for name in bucket.copied:
                    bucket.slots[name].write(weights)
        if self.averages:
            for variable, average in zip(variables, self.averages, strict=True):
                average.assign(ops.cast(variable, average.dtype))

    def adopt(self, indices, variables):
        """Copies the weights of these variables into their slots again; clears compensation."""
        pairs = []
        for index in indices:
            bucket, _ = self.home[index]
            for name, slot in self.slots[index].items():
                if name == AVERAGE or name in bucket.copied:
                    weights = ops.cast(variables[index], bucket.dtype)
                    pairs.append((slot, ops.convert_to_numpy(weights)))
                elif name == LOST:
                    pairs.append((slot, np.zeros(slot.shape, bucket.dtype)))
        write_all(pairs)

    def _own(self, index, storage):
        """A variable's part of its bucket's storage."""
        bucket, position = self.home[index]
        return bucket.view(storage, position)


def surveyed(optimizer, rules):
    """All that defines `global_stats` and updates variables, in the order of its use.

    Args:
        optimizer: The optimizer.
        rules: The rules that update its variables: itself, or some of its parts.

    Yields:
        The names of the parts that lead to the rule; the rule; its modifier, or `None` for the
        rule itself; and the names of its shared scalars.
    """
    for path, rule in _with_paths(optimizer):
        if not any(rule is other for other in rules):
            continue
        found = [(m, m.shared_names(rule)) for m in rule.before if m.uses_global_stats]
        if rule.uses_global_stats:
            found.append((None, rule.shared))
        found += [(m, m.shared_names(rule)) for m in rule.after if m.uses_global_stats]
        for modifier, names in found:
            yield path, rule, modifier, ["_".join([*path, name]) for name in names]


def _with_paths(rule, path=()):
    yield path, rule
    for name, part in rule.part_rules().items():
        yield from _with_paths(part, (*path, name))


def _storage(optimizer, slot, bucket, late, make):
    """The storage of one slot of one bucket; `None` if the bucket has no such slot."""
    role = bucket.spec.role
    shape = slot.shape_for(bucket.own_shape, role)
    if shape is None:
        return None
    copied = slot.init == "variable"
    dtype = optimizer.state_dtype
    if copied or slot.exact or dtype is None:
        dtype = bucket.dtype
    elif dtype == "int8":
        empty = slot.init == 0 or math.isnan(slot.init)
        # Lazy updates read and write rows, so that each needs a scale of its own.
        block = math.prod(shape[1:]) if optimizer.sparse == "lazy" else BLOCK
        worth = math.prod(slot.shape_for(bucket.shapes[0], role)) >= SMALLEST and block >= SHORTEST
        if empty and worth:
            blocks = -(-math.prod(shape) // block)
            codes = "int8" if slot.signed else "uint8"
            found = EightBit(
                make(f"{slot.name}_codes", (blocks, block), codes, 0),
                make(f"{slot.name}_scales", (blocks, 1), "float32", slot.init),
                shape,
                signed=slot.signed,
            )
            return _divided(optimizer, bucket, found)
        dtype = bucket.dtype
    waits = copied and (late or bucket.replicas > 1)  # shards are filled later
    init = 0.0 if waits else slot.init
    return _divided(optimizer, bucket, Plain(make(slot.name, shape, dtype, init)))


def _divided(optimizer, bucket, storage):
    """Storage for a bucket, given what one replica stores."""
    if bucket.replicas == 1:
        return storage
    return Sharded(storage, bucket, backend.local_replicas(optimizer))


def allocate(optimizer, beside, name, shape, dtype, init):
    """Adds a variable to the optimizer, on the device of the model's variables that it belongs to.

    Args:
        optimizer: The optimizer.
        beside: Those model variables; empty for state of the whole model.
        name: Its name, which follows theirs.
        shape: Its shape.
        dtype: Its dtype.
        init: The number that it starts with, or `"variable"` for the values of `beside`.
    """

    def initial(shape, dtype=None):
        if init == "variable":
            flat = [ops.reshape(ops.cast(backend.snapshot(v), dtype), (-1,)) for v in beside]
            return ops.reshape(ops.concatenate(flat), shape)
        return ops.full(shape, init, dtype)

    with backend.near(optimizer, beside[0]) if beside else nullcontext():
        return optimizer.add_variable(
            tuple(shape), initializer=initial, dtype=dtype, name=_name(beside, name)
        )


def imagined(optimizer, variables, model, replicas):
    """Plans a `State` without allocating it.

    Its variables have a path, a shape, a dtype and a `name`, which omits the optimizer's name.
    """

    def note(optimizer, beside, name, shape, dtype, init):
        path = f"{optimizer.name}/{_name(beside, name)}"
        return SimpleNamespace(name=name, path=path, shape=tuple(shape), dtype=dtype)

    return State(optimizer, variables, model, replicas, new=note)


def _name(beside, name):
    return f"{re.sub('[/:]', '_', path_of(beside[0]))}_{name}" if beside else name


def size_of(dtype):
    """Bytes per number."""
    return int(re.sub(r"\D", "", keras.backend.standardize_dtype(dtype))) // 8
