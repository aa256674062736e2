"""Packs small variables into flat buckets.

For small tensors, the cost of a step grows with the number of tensors, not their size. So small
variables with equal options share flat state and are updated as one tensor, if the rule is
elementwise.

Where replicas share an update, each has a shard of a bucket. For elementwise rules that is a slice
of the flat bucket; for others it is one of several variables of equal shape.
"""

import math
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_gdx.backends import backend
from keras_gdx.engine.state.storage import BLOCK, SMALLEST, chosen
from keras_gdx.engine.state.views import Member, Slice
from keras_gdx.engine.variables.constraints import (
    kind_of,
    may_be_compiled,
    separates_entries,
)
from keras_gdx.engine.variables.masks import constraint_of, mask_of
from keras_gdx.engine.variables.spec import VariableSpec

PACKED = 16_384  # for larger variables, copying costs more than packing saves
FUSED = 65_536  # smaller updates take less time than compiling a program for them


class Bucket:
    """Variables that the rule sees as one tensor.

    Attributes:
        indices: Their positions in the optimizer.
        spec: The `VariableSpec` of the first; the others differ in path and shape only.
        rule: The rule that updates them.
        shapes: Their shapes.
        shape: The shape of the tensor that holds all of them.
        dtype: Its dtype, at least float32.
        packed: Whether there are several variables.
        replicas: The number of shards, one per replica. 1: every replica has the complete state.
        own_shape: The shape of a shard, or of the complete tensor.
        fused: `True` or `"auto"` if their update may be a compiled program of its own.
        constraint: The variable's constraint apart from its mask; only unpacked variables have one.
        slots: Storage of each slot by name, as `State` makes it.
        total: The gradient accumulator, a variable, or `None`.
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
        *self.begins, self.size = accumulate(self.sizes, initial=0)
        self.packed = len(indices) > 1
        self.replicas = replicas
        self.shape = self.whole_shape()
        self.own_shape = self.shape if replicas == 1 else self.shard_shape(block)
        slower = self.size < FUSED or rule.decomposes
        unfit = not may_be_compiled(constraint) or (fused == "auto" and slower)
        self.fused = False if unfit else fused
        self.slots: dict = {}
        self.total = None

    @property
    def copied(self):
        """The names of the slots that start as copies of the weights."""
        return [slot.name for slot in self.rule.all_slots() if slot.init == "variable"]

    @property
    def separates_entries(self):
        """Whether an update treats every entry by itself."""
        return self.rule.separates_entries and separates_entries(self.constraint)

    @property
    def kind(self):
        """What the update is compiled for; buckets with equal kinds share a program."""
        masks = tuple(self.rule.masks_of(self.spec).items())
        shapes, constraint = (self.shape, self.own_shape), kind_of(self.constraint)
        return id(self.rule), shapes, self.spec.role, self.spec.decays, masks, constraint

    def whole_shape(self):
        """The shape of the tensor that holds all variables."""
        return (self.size,) if self.packed else self.shapes[0]

    def shard_shape(self, block):
        """The shape of one shard, a multiple of `block` entries."""
        return (-(-self.size // (self.replicas * block)) * block,)

    def members(self, entries):
        """The entries of the bucket's variables, of a list with one for every variable."""
        return [entries[i] for i in self.indices]

    def together(self, variables):
        """The bucket's variables, of all, as one object with `value`, `dtype` and `assign`."""
        members = self.members(variables)
        return PackedVariable(self, members) if self.packed else members[0]

    def mask(self, variables):
        """The masks of its variables, joined like their weights; `None` if none has a mask."""
        masks = [mask_of(v) for v in self.members(variables)]
        if all(mask is None for mask in masks):
            return None
        pairs = zip(masks, self.shapes, strict=True)
        return self.join(
            [ops.ones(shape, "uint8") if m is None else backend.dense(m) for m, shape in pairs]
        )

    def join(self, tensors):
        """Joins one tensor per variable into the bucket's tensor."""
        return backend.join(tensors) if self.packed else tensors[0]

    def split(self, tensor):
        """Splits the bucket's tensor into one tensor per variable."""
        return backend.split(tensor, self.shapes) if self.packed else [tensor]

    def split_result(self, tensor):
        """As `split`, for the result of an update."""
        return backend.split_result(tensor, self.shapes)

    def choose(self, present, new, old):
        """`new`, cast to the dtype of `old`, where variables are `present`; `old` elsewhere.

        Args:
            present: Boolean tensor with one entry per variable; `None`: all are present.
            new: The new values, in any form in which the bucket is stored.
            old: The old values, in the same form.
        """
        return chosen(None if present is None else self.spread(present), new, old)

    def spread(self, entries):
        """Expands one entry per variable so that it broadcasts against the bucket's tensor."""
        if not self.packed:
            return entries[0]
        return ops.take(entries, np.repeat(np.arange(len(self.sizes)), self.sizes))

    def cut(self, whole, replica):
        """The shard of the replica with this index."""
        (length,) = self.own_shape
        flat = ops.reshape(whole, (-1,))
        if missing := self.replicas * length - self.size:
            flat = ops.pad(flat, [(0, missing)])
        return ops.reshape(flat, (self.replicas, length))[replica]

    def present(self, entries, replica):
        """Which entries of a replica's shard have a gradient; `None` if all have.

        Args:
            entries: Boolean tensor with one entry per variable, or `None`.
            replica: Index of the replica.
        """
        if entries is None:
            return None
        return self.cut(self.spread(entries), replica) if self.packed else entries[0]

    def index_at(self, replica):
        """The number of the variable that the replica with this index updates."""
        return float(self.indices[0])

    def uncut(self, shards):
        """The bucket's tensor, from all shards stacked along the first axis."""
        return ops.reshape(ops.reshape(shards, (-1,))[: self.size], self.shape)

    def uncut_shape(self, shape):
        """The shape of the complete tensor, given that of a shard."""
        return self.shape

    def view(self, storage, position):
        """The part of `storage` that belongs to the variable at this position in the bucket."""
        if not self.packed:
            return storage
        return Slice(storage, self.begins[position], self.shapes[position])


class Stack(Bucket):
    """Variables of equal shape and options, of which each replica updates one.

    For rules that are not elementwise. The bucket's tensor has an additional first axis.
    """

    def whole_shape(self):
        return (len(self.indices), *self.shapes[0])

    def shard_shape(self, block):
        return self.shapes[0]

    def join(self, tensors):
        return ops.stack([backend.dense(x) for x in tensors])

    def split(self, tensor):
        return ops.unstack(tensor, len(self.indices))

    split_result = split

    def spread(self, entries):
        return ops.reshape(entries, (-1, *(1 for _ in self.shapes[0])))

    def cut(self, whole, replica):
        """Replicas beyond the last variable repeat it; their results are dropped."""
        return whole[ops.minimum(replica, len(self.indices) - 1)]

    def present(self, entries, replica):
        """One boolean, because slots may have other shapes than the variable."""
        return None if entries is None else self.cut(entries, replica)

    def index_at(self, replica):
        return self.cut(ops.convert_to_tensor(self.indices, self.dtype), replica)

    def uncut(self, shards):
        return shards[: len(self.indices)]

    def uncut_shape(self, shape):
        return (len(self.indices), *shape)

    def view(self, storage, position):
        return Member(storage, position)


class Task(NamedTuple):
    """A bucket with the gradient of this step.

    Attributes:
        bucket: The bucket.
        gradient: One gradient for all its variables.
        present: Whether each of its variables has a gradient; `None`: all have.
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
        """One flat tensor of all values."""
        return self.bucket.join(self.variables)

    def assign(self, value):
        """Writes each variable's part."""
        for variable, part in zip(self.variables, self.bucket.split_result(value), strict=True):
            variable.assign(part)


def buckets_of(optimizer, variables, specs, rules, dtypes, replicas):
    """Sorts all variables into buckets, ordered by the first variable of each."""
    members: dict = {}
    for index, variable in enumerate(variables):
        spec, rule = specs[index], rules[index]
        masks = tuple(rule.masks_of(spec).items())
        device = getattr(variable.value, "device", None)
        kept = dtypes[index], variable.dtype, device
        treated = id(rule), *kept, spec.decays, spec.multiplier, masks
        kind: Any = Bucket
        alone: Any = index
        if _packable(optimizer, variable, rule):
            alone = None
        elif replicas > 1 and not rule.separates_entries and constraint_of(variable) is None:
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
    divided = kind is Stack or rules[first].separates_entries
    coded = optimizer.state_dtype == "int8" and math.prod(variables[first].shape) >= SMALLEST
    return kind(
        indices,
        specs[first],
        rules[first],
        [tuple(variables[i].shape) for i in indices],
        dtype=dtypes[first],
        constraint=constraint_of(variables[first]),
        fused=optimizer.fused,
        replicas=replicas if divided else 1,
        block=BLOCK if coded else 1,
    )


def _packable(optimizer, variable, rule):
    size = math.prod(variable.shape)
    most = SMALLEST - 1 if optimizer.state_dtype == "int8" else PACKED
    wanted = optimizer.fused is not False and optimizer.sparse == "dense"
    return wanted and rule.separates_entries and size <= most and constraint_of(variable) is None
