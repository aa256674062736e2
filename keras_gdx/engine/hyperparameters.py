"""Hyper-parameters: numbers that may change without retracing the step.

Each is stored as a pair of float32 numbers whose sum is the Python number, so that `1 - beta` is
accurate to float32 precision on every backend and device.
"""

from __future__ import annotations

import operator
from types import SimpleNamespace
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_gdx.arguments import is_schedule


class Hyperparameters:
    """The numbers of one rule, in one small variable.

    Args:
        values: Maps names to Python numbers.
        add_variable: `Optimizer.add_variable`.
    """

    def __init__(self, values, add_variable):
        self.names = tuple(values)
        pairs = np.array([_split(v) for v in values.values()], "float32").reshape(-1, 2)
        self.variable = add_variable(
            shape=pairs.shape,
            initializer=lambda shape, dtype=None: ops.convert_to_tensor(pairs, dtype),
            dtype="float32",
            name="hyperparameters",
        )

    def __contains__(self, name):
        return name in self.names

    def set(self, name, value):
        """Changes one number; compiled steps use the new value."""
        pairs = keras.ops.convert_to_numpy(self.variable).copy()
        pairs[self.names.index(name)] = _split(value)
        self.variable.assign(pairs)

    def read(self, dtype):
        """Returns the numbers as scalars of `dtype`, by name."""
        if not self.names:
            return {}
        exact = dtype == "float64"
        values, rests = ops.unstack(
            ops.transpose(ops.cast(self.variable, dtype if exact else "float32"))
        )
        pairs = zip(self.names, ops.unstack(values), ops.unstack(rests), strict=True)
        return {name: a + b if exact else Scalar(a, b) for name, a, b in pairs}


def _split(value):
    high = np.float32(value)
    return high, np.float32(float(value) - float(high) if np.isfinite(high) else 0.0)


class Scalar:
    """A float32 number with its rounding error, so that `1 - beta` is accurate."""

    def __init__(self, value, rest):
        self.value = value
        self.rest = rest

    def __rsub__(self, other):
        return (other - self.value) - self.rest

    def __neg__(self):
        return -self.value

    def __tf_tensor__(self, dtype=None, name=None):
        return ops.cast(self.value, dtype.name if dtype else "float32")

    def __jax_array__(self):
        return self.value

    def __array__(self, dtype=None, copy=None):  # for PyTorch
        return ops.convert_to_numpy(self.value)


def _forward(name):
    operation = getattr(operator, name)

    def forward(self, other):
        return operation(self.value, getattr(other, "value", other))

    def backward(self, other):
        return operation(other, self.value)

    return forward, backward


for _name in ("add", "mul", "truediv", "pow", "sub", "lt", "le", "gt", "ge"):
    _forth, _back = _forward(_name)
    setattr(Scalar, f"__{_name}__", _forth)
    if _name in ("add", "mul", "truediv", "pow"):
        setattr(Scalar, f"__r{_name}__", _back)


class Scalars(SimpleNamespace):
    """The `h` that a rule receives: `t`, `lr` and every argument of the rule, resolved."""

    def replace(self, **changes: Any) -> Scalars:
        """Returns a copy with some entries replaced or added."""
        return Scalars(**{**vars(self), **changes})

    def pack(self):
        """Returns a copy with a `Gap` in place of each tensor, and the tensors as one vector."""
        numbers: list = []

        def take(number):
            numbers.append(number)
            return Gap(number.dtype)

        gaps = self._each(ops.is_tensor, take)
        dtype = keras.backend.result_type("float32", *(x.dtype for x in numbers))
        return gaps, ops.stack([ops.cast(x, dtype) for x in numbers])

    def unpack(self, numbers):
        """Fills the gaps from the vector that `pack` returned."""
        numbers = iter(ops.unstack(numbers))
        return self._each(
            lambda x: isinstance(x, Gap), lambda gap: ops.cast(next(numbers), gap.dtype)
        )

    def _each(self, chosen, fn):
        def convert(x):
            if isinstance(x, Scalars):
                return x._each(chosen, fn)
            if isinstance(x, Scalar):
                return Scalar(convert(x.value), convert(x.rest))
            return fn(x) if chosen(x) else x

        return Scalars(**{name: convert(x) for name, x in vars(self).items()})


class Gap(NamedTuple):
    """The place of a tensor in what `Scalars.pack` returns."""

    dtype: Any


def resolve(value, step, dtype):
    """An argument at update `step`: schedules are evaluated, other values returned unchanged."""
    return ops.cast(value(step), dtype) if is_schedule(value) else value
