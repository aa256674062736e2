"""Everything that an optimizer keeps between steps, as variables."""

import math

import keras
from keras import ops

from keras_gdx.engine import backend
from keras_gdx.engine.facts import facts_of
from keras_gdx.engine.storage import BLOCK, SMALLEST, EightBit, Plain
from keras_gdx.engine.structure import path_of

LOW_PRECISION = ("float16", "bfloat16")
AVERAGE = "ema"  # the slot of the weights' moving average


def wide(variable):
    """The dtype in which a rule sees `variable`: at least float32."""
    dtype = keras.backend.standardize_dtype(variable.dtype)
    return "float32" if dtype in LOW_PRECISION else dtype


class State:
    """The variables of a built optimizer.

    Attributes:
        facts: `Facts` of each model variable.
        rules: The rule that moves each variable: the optimizer, or one of its parts.
        slots: For each variable, its slots by name.
        shared: Scalars kept once for the whole model, by name.
        sums: Sums of the gradients of an open accumulation window, or `None`.
        count: How many micro-batches are in `sums`.
        active: Indices of the variables that have ever had a gradient.
        by_rows: Those of them whose gradients name rows, if only those shall move.
        closers: Functions that close the window, by the variables that they move.
    """

    def __init__(self, optimizer, variables, model):
        self.facts = facts_of(optimizer, variables, model)
        self.rules = [optimizer.rule_of(facts) for facts in self.facts]
        self.slots = [
            {s.name: storage for s in rule.all_slots() if (storage := _storage(optimizer, s, v))}
            for rule, v in zip(self.rules, variables, strict=True)
        ]
        if optimizer.use_ema:
            for slots, v in zip(self.slots, variables, strict=True):
                slots[AVERAGE] = Plain(_add(optimizer, v, AVERAGE, v.shape, wide(v), "variable"))
        widest = max(wide(v) for v in variables)
        self.shared = {
            name: optimizer.add_variable((), dtype=widest, name=name) for name in optimizer.shared
        }
        self.sums = self.count = None
        self.active = set()
        self.by_rows = set()
        self.closers = {}
        if optimizer.gradient_accumulation_steps:
            self.sums = [_add(optimizer, v, "sum", v.shape, wide(v), 0.0) for v in variables]
            self.count = optimizer.add_variable((), dtype="int32", name="summed")


def _storage(optimizer, slot, variable):
    """The storage of one slot of one variable; `None` if it has no such slot."""
    shape = slot.shape(tuple(variable.shape))
    if shape is None:
        return None
    name, dtype = slot.name, optimizer.state_dtype
    if slot.init == "variable" or dtype is None:
        dtype = wide(variable)
    elif dtype == "int8":
        if slot.init == 0 and math.prod(shape) >= SMALLEST:
            blocks = -(-math.prod(shape) // BLOCK)
            codes = "int8" if slot.signed else "uint8"
            return EightBit(
                _add(optimizer, variable, f"{name}_codes", (blocks, BLOCK), codes, 0),
                _add(optimizer, variable, f"{name}_scales", (blocks, 1), "float32", 0.0),
                shape,
                signed=slot.signed,
            )
        dtype = wide(variable)
    return Plain(_add(optimizer, variable, name, shape, dtype, slot.init))


def _add(optimizer, variable, name, shape, dtype, init):
    def initial(shape, dtype=None):
        if init == "variable":
            return ops.cast(backend.snapshot(variable), dtype)
        return ops.full(shape, init, dtype)

    with backend.near(optimizer, variable):
        return optimizer.add_variable(
            tuple(shape),
            initializer=initial,
            dtype=dtype,
            name=f"{path_of(variable).replace('/', '_').replace(':', '_')}_{name}",
        )
