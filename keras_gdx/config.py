"""Serialization derived from the constructor's signature, and checks of arguments."""

import inspect
import math
import numbers
from typing import Any

import keras


class Configured:
    """Gives a class `get_config` and `from_config`.

    `__init__` must store every argument that it declares in an attribute of the same name. Values
    that are Keras objects are serialized too, also inside lists, tuples and dictionaries.
    """

    def get_config(self):
        """Returns the constructor's arguments as a serializable dictionary."""
        return {name: pack(self.configured(name)) for name in declared_arguments(type(self))}

    def configured(self, name):
        """The value of an argument in `get_config`."""
        return getattr(self, name)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Builds an instance from what `get_config` returned."""
        return cls(**{name: unpack(value, custom_objects) for name, value in config.items()})

    def __repr__(self):
        arguments = (f"{name}={getattr(self, name)!r}" for name in declared_arguments(type(self)))
        return f"{type(self).__name__}({', '.join(arguments)})"


def declared_arguments(cls: type) -> dict[str, Any]:
    """Maps each argument of the constructor to its default.

    If the constructor has `**kwargs`, the arguments of the next `Configured` class are included.
    """
    if cls not in _DECLARED:
        _DECLARED[cls] = _declared_arguments(cls)
    return _DECLARED[cls]


_DECLARED: dict[type, dict[str, Any]] = {}


def _declared_arguments(cls):
    levels = []
    for base in cls.__mro__:
        if issubclass(base, Configured) and "__init__" in vars(base):
            parameters = list(inspect.signature(base.__init__).parameters.values())[1:]
            levels.append({p.name: p.default for p in parameters if p.kind not in VARIADIC})
            if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
                break
    return {name: default for level in reversed(levels) for name, default in level.items()}


VARIADIC = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


def pack(value):
    """Serializes one argument."""
    if isinstance(value, (list, tuple)):
        return [pack(x) for x in value]
    if isinstance(value, dict):
        return {str(k): pack(x) for k, x in value.items()}
    if hasattr(value, "get_config") or (callable(value) and not isinstance(value, type)):
        return keras.saving.serialize_keras_object(value)
    return value


def unpack(value, custom_objects=None):
    """Undoes `pack`."""
    if isinstance(value, list):
        return [unpack(x, custom_objects) for x in value]
    if isinstance(value, dict):
        if "class_name" in value and "config" in value:
            return keras.saving.deserialize_keras_object(value, custom_objects)
        return {k: unpack(x, custom_objects) for k, x in value.items()}
    return value


def is_schedule(value):
    """Whether `value` changes with the update index."""
    return isinstance(value, keras.optimizers.schedules.LearningRateSchedule)


def is_number(value):
    """Whether `value` is a real number, including NumPy scalars but not booleans."""
    return isinstance(value, numbers.Real) and not isinstance(value, (bool, type(None)))


def check(condition, name, value, allowed):
    """Raises the `ValueError` for an invalid argument unless `condition` holds."""
    if not condition:
        raise ValueError(f"Argument `{name}` must be {allowed}. Received: {name}={value!r}")


def check_number(name, value, low=-math.inf, high=math.inf, *, open_low=False, open_high=False):
    """Checks that `value` is a finite number in `[low, high]`, with open ends if requested."""
    if high < math.inf:
        allowed = f"a number in {'(' if open_low else '['}{low}, {high}{')' if open_high else ']'}"
    else:
        allowed = f"a number {'>' if open_low else '>='} {low}"
    inside = is_number(value) and math.isfinite(value) and low <= value <= high
    at_open_end = (open_low and value == low) or (open_high and value == high)
    check(inside and not at_open_end, name, value, allowed)


def check_integer(name, value, low):
    """Checks that `value` is an integer of at least `low`."""
    valid = is_number(value) and math.isfinite(value) and value == int(value) and value >= low
    check(valid, name, value, f"an integer >= {low}")


def check_choice(name, value, choices):
    """Checks that `value` is one of `choices`."""
    check(value in choices, name, value, "one of " + ", ".join(map(repr, choices)))


def needs_tensorflow(name):
    """Raises `ValueError` on backends other than TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"{name} needs Keras' TensorFlow backend.")
