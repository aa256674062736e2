"""Which variables move together.

What a step costs follows the number of tensors as long as they are small. So small
variables that are treated alike share flat state and move as one, where the rule does
not mix the entries of a tensor.

Where replicas share the work of an update, each has a piece of a bucket: a slice of a bucket whose
entries may be cut anywhere, or a whole one of several variables of one shape.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_gdx.backends import backend
from keras_gdx.engine.state.storage import BLOCK, SMALLEST
from keras_gdx.engine.state.views import Member, Part
from keras_gdx.engine.variables.spec import VariableSpec

PACKED = 16_384  # larger variables gain less from company than copying costs
FUSED = 65_536  # smaller updates are done before a program for them is compiled


class Bucket:
    """Variables that are one tensor to the rule.

    Attributes:
        indices: Their positions in the optimizer.
        spec: The `VariableSpec` of the first; the others differ in path and shape only.
        rule: The rule that moves them.
        shapes: Their shapes.
        shape: The shape of the tensor that stands for all of them.
        dtype: Its dtype, at least float32.
        packed: Whether there are several.
        replicas: How many have a piece each. 1: all have all of it.
        own_shape: The shape of a piece, or of all of it.
        fused: `True` or `"auto"` if their update may be a compiled program of its own.
        constraint: The constraint on a variable that is alone.
        slots: Storage of each slot by name, as `State` makes it.
        total: The variable that sums their gradients, or `None`.
    """

    def __init__(
        self,
        indices,
        spec: VariableSpec,
        rule,
        shapes,
        *,
        dtype,
        constraint,
        fused,
        replicas=1,
        block=1,
    ):
        self.indices = indices
        self.spec = spec
        self.rule = rule
        self.shapes = shapes
        self.dtype = dtype
        self.constraint = constraint
        self.sizes = [math.prod(shape) for shape in shapes]
        self.size = sum(self.sizes)
        self.packed = len(indices) > 1
        self.replicas = replicas
        self.shape = self.whole_shape()
        self.own_shape = self.shape if replicas == 1 else self.shard_shape(block)
        small = self.size < FUSED
        # A constraint may be any Python: it stays outside of compiled programs.
        self.fused = False if constraint or (fused == "auto" and small) else fused
        self.slots: dict = {}
        self.total = None

    @property
    def copied(self):
        """The names of the slots that begin as copies of the weights."""
        return [slot.name for slot in self.rule.all_slots() if slot.init == "variable"]

    @property
    def kind(self):
        """What an update depends on, beside state: equal for buckets that share a program."""
        masks = tuple(self.spec.masks.items())
        shapes = self.shape, self.own_shape
        return id(self.rule), shapes, self.spec.role, self.spec.decays, masks

    def whole_shape(self):
        """The shape of the tensor that stands for all variables."""
        return (self.size,) if self.packed else self.shapes[0]

    def shard_shape(self, block):
        """The shape of one replica's piece, whole blocks of so many entries."""
        return (-(-self.size // (self.replicas * block)) * block,)

    def together(self, variables):
        """One for each of the bucket's variables, as one with `value`, `dtype` and `assign`."""
        return PackedVariable(self, variables) if self.packed else variables[0]

    def join(self, tensors):
        """One tensor made of one for each variable."""
        if not self.packed:
            return tensors[0]
        flat = [x if len(x.shape) == 1 else ops.reshape(x, (-1,)) for x in tensors]
        return ops.concatenate(flat)

    def parts(self, tensor):
        """One tensor for each variable, made of one for all."""
        if not self.packed:
            return [tensor]
        ends = [sum(self.sizes[: i + 1]) for i in range(len(self.sizes) - 1)]
        pieces = ops.split(tensor, ends)
        pairs = zip(pieces, self.shapes, strict=True)
        return [x if len(shape) == 1 else ops.reshape(x, shape) for x, shape in pairs]

    def choose(self, present, new, old):
        """`new` for the variables that are `present`, `old` for the others.

        Args:
            present: A boolean tensor with an entry for each variable; `None`: all are.
            new: What they become, in any form that is kept of them together.
            old: What they were.
        """
        return new if present is None else ops.where(self.spread(present), new, old)

    def spread(self, entries):
        """An entry for each variable, as a tensor that meets all entries of the variables."""
        if not self.packed:
            return entries[0]
        return ops.take(entries, np.repeat(np.arange(len(self.sizes)), self.sizes))

    def cut(self, whole, place):
        """The piece of the replica with this number."""
        (length,) = self.own_shape
        flat = ops.reshape(whole, (-1,))
        if missing := self.replicas * length - self.size:
            flat = ops.pad(flat, [(0, missing)])
        return ops.reshape(flat, (self.replicas, length))[place]

    def uncut(self, pieces):
        """The whole, made of all pieces, one after the other."""
        return ops.reshape(ops.reshape(pieces, (-1,))[: self.size], self.shape)

    def uncut_shape(self, shape):
        """The shape of the whole, given that of a piece."""
        return self.shape

    def part(self, storage, place):
        """What `storage` has for the variable at this place."""
        if not self.packed:
            return storage
        return Part(storage, sum(self.sizes[:place]), self.shapes[place])


class Stack(Bucket):
    """Variables of one shape and one kind, of which every replica moves one.

    For rules that mix the entries of a tensor. The tensor that stands for all has an axis more.
    """

    def whole_shape(self):
        return (len(self.indices), *self.shapes[0])

    def shard_shape(self, block):
        return self.shapes[0]

    def join(self, tensors):
        return ops.stack([backend.dense(x) for x in tensors])

    def parts(self, tensor):
        return ops.unstack(tensor, len(self.indices))

    def spread(self, entries):
        return ops.reshape(entries, (-1, *(1 for _ in self.shapes[0])))

    def cut(self, whole, place):
        """Replicas beyond the last variable repeat it, to no effect."""
        return whole[ops.minimum(place, len(self.indices) - 1)]

    def uncut(self, pieces):
        return pieces[: len(self.indices)]

    def uncut_shape(self, shape):
        return (len(self.indices), *shape)

    def part(self, storage, place):
        return Member(storage, place)


class Task(NamedTuple):
    """A bucket with the gradient of this step.

    Attributes:
        bucket: The bucket.
        gradient: One gradient for all its variables.
        present: For each of its variables, whether it has a gradient; `None`: all have.
    """

    bucket: Bucket
    gradient: Any
    present: Any = None


class PackedVariable:
    """Several variables that are read and written as one."""

    def __init__(self, bucket, variables):
        self.bucket = bucket
        self.variables = variables
        self.dtype = variables[0].dtype

    @property
    def value(self):
        """One flat tensor of all."""
        return self.bucket.join(self.variables)

    def assign(self, value):
        """Gives each variable its part."""
        for variable, part in zip(self.variables, self.bucket.parts(value), strict=True):
            variable.assign(part)


def buckets_of(optimizer, variables, specs, rules, dtypes, replicas):
    """Sorts all variables into buckets, in the order of the first of each."""
    members: dict = {}
    for index, variable in enumerate(variables):
        spec, rule = specs[index], rules[index]
        masks = tuple(spec.masks.items())
        place = getattr(variable.value, "device", None)
        kept = dtypes[index], variable.dtype, place
        treated = id(rule), *kept, spec.decays, spec.multiplier, masks
        kind: Any = Bucket
        alone: Any = index
        if _packable(optimizer, variable, rule):
            alone = None
        elif replicas > 1 and not _pure(rule) and variable.constraint is None:
            kind, alone = Stack, (tuple(variable.shape), spec.role)
        members.setdefault((kind, alone, treated), []).append(index)
    found = []
    for (kind, *_), indices in members.items():
        teams = [indices]
        if kind is Stack:
            teams = [indices[i : i + replicas] for i in range(0, len(indices), replicas)]
        found += [
            _bucket(optimizer, kind, t, variables, specs, rules, dtypes, replicas) for t in teams
        ]
    return sorted(found, key=lambda bucket: bucket.indices[0])


def _bucket(optimizer, kind, indices, variables, specs, rules, dtypes, replicas):
    first = indices[0]
    kind = kind if len(indices) > 1 else Bucket
    divided = kind is Stack or _pure(rules[first])
    coded = optimizer.state_dtype == "int8" and math.prod(variables[first].shape) >= SMALLEST
    return kind(
        indices,
        specs[first],
        rules[first],
        [tuple(variables[i].shape) for i in indices],
        dtype=dtypes[first],
        constraint=variables[first].constraint,
        fused=optimizer.fused,
        replicas=replicas if divided else 1,
        block=BLOCK if coded else 1,
    )


def _pure(rule):
    """Whether the rule treats every entry of a tensor by itself."""
    return all(x.elementwise for x in (rule, *rule.before, *rule.after))


def _packable(optimizer, variable, rule):
    size = math.prod(variable.shape)
    most = SMALLEST - 1 if optimizer.state_dtype == "int8" else PACKED
    wanted = optimizer.fused is not False and optimizer.sparse == "dense"
    return wanted and _pure(rule) and size <= most and variable.constraint is None
