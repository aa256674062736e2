"""Which variables move together.

What a step costs follows the number of tensors as long as they are small. So small
variables that are treated alike share flat state and move as one, where the rule does
not mix the entries of a tensor.
"""

import math

import numpy as np
from keras import ops

from keras_gdx.engine.facts import Facts
from keras_gdx.engine.storage import SMALLEST

PACKED = 16_384  # larger variables gain less from company than copying costs
FUSED = 65_536  # smaller updates are done before a program for them is compiled


class Group:
    """Variables that are one tensor to the rule.

    Attributes:
        indices: Their positions in the optimizer.
        facts: The `Facts` of the first; the others differ in path and shape only.
        rule: The rule that moves them.
        shapes: Their shapes.
        shape: The shape of the tensor that stands for all of them.
        dtype: Its dtype, at least float32.
        packed: Whether there are several.
        fused: `True` or `"auto"` if their update may be a compiled program of its own.
        constraint: The constraint on a variable that is alone.
        slots: Storage of each slot by name, as `State` makes it.
        total: The variable that sums their gradients, or `None`.
    """

    def __init__(self, indices, facts: Facts, rule, shapes, *, dtype, constraint, fused):
        self.indices = indices
        self.facts = facts
        self.rule = rule
        self.shapes = shapes
        self.dtype = dtype
        self.constraint = constraint
        self.sizes = [math.prod(shape) for shape in shapes]
        self.packed = len(indices) > 1
        self.shape = (sum(self.sizes),) if self.packed else shapes[0]
        small = sum(self.sizes) < FUSED
        # A constraint may be any Python: it stays outside of compiled programs.
        self.fused = False if constraint or (fused == "auto" and small) else fused
        self.slots: dict = {}
        self.total = None

    @property
    def kind(self):
        """What an update depends on, beside what is kept: equal for groups that share a program."""
        masks = tuple(self.facts.masks.items())
        return id(self.rule), self.shape, self.facts.role, self.facts.decays, masks

    def together(self, variables):
        """One for each of the group's variables, as one with `value`, `dtype` and `assign`."""
        return Together(self, variables) if self.packed else variables[0]

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
        """`new` for the variables that are `present`, `old` for the others."""
        if all(present):
            return new
        return ops.where(np.repeat(present, self.sizes), new, old)


class Together:
    """Several variables that are read and written as one."""

    def __init__(self, group, variables):
        self.group = group
        self.variables = variables
        self.dtype = variables[0].dtype

    @property
    def value(self):
        """One flat tensor of all."""
        return self.group.join(self.variables)

    def assign(self, value):
        """Gives each variable its part."""
        for variable, part in zip(self.variables, self.group.parts(value), strict=True):
            variable.assign(part)


def groups_of(optimizer, variables, facts, rules, dtypes):
    """Sorts all variables into groups, in the order of the first of each."""
    members: dict = {}
    for index, variable in enumerate(variables):
        alone = index if not _packable(optimizer, variable, rules[index]) else None
        fact = facts[index]
        masks = tuple(fact.masks.items())
        place = getattr(variable.value, "device", None)
        treated = id(rules[index]), dtypes[index], variable.dtype, place
        key = alone, *treated, fact.decays, fact.multiplier, masks
        members.setdefault(key, []).append(index)
    return [
        Group(
            indices,
            facts[indices[0]],
            rules[indices[0]],
            [tuple(variables[i].shape) for i in indices],
            dtype=dtypes[indices[0]],
            constraint=variables[indices[0]].constraint,
            fused=optimizer.fused,
        )
        for indices in members.values()
    ]


def _packable(optimizer, variable, rule):
    size = math.prod(variable.shape)
    most = SMALLEST - 1 if optimizer.state_dtype == "int8" else PACKED
    wanted = optimizer.fused is not False and optimizer.sparse == "dense"
    pure = all(x.elementwise for x in (rule, *rule.before, *rule.after))
    return wanted and pure and size <= most and variable.constraint is None
