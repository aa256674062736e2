"""Arguments: their types, and the checks of what a user passes.

A class declares an argument by its annotation in the constructor:

    def __init__(self, learning_rate=0.1, *, nu: Fraction = 0.7, order: PositiveInt = 2, **kwargs):

Everything else follows from it: the check of each value that is assigned, whether it may be a
schedule, whether it may change during training (numbers of a rule that are not integers), the
tests with wrong values and the ranges in the catalogue. An argument without an annotation has the
type of its default, if that is a number or a boolean; otherwise it accepts anything.
"""

import math
import numbers
import operator
from collections.abc import Callable
from dataclasses import asdict
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import keras
import numpy as np
from annotated_types import Ge, Gt, Interval
from keras.optimizers.schedules import LearningRateSchedule

# Numbers of rules and modifiers: they may be schedules.
Number = float | LearningRateSchedule
NonNegative = Annotated[Number, Ge(0)]
Positive = Annotated[Number, Gt(0)]
Fraction = Annotated[Number, Interval(ge=0, le=1)]
DecayRate = Annotated[Number, Interval(ge=0, lt=1)]  # of an exponential moving average
LearningRate = NonNegative | Callable[[], Any]

# Numbers that stay as they are.
NonNegativeFloat = Annotated[float, Ge(0)]
PositiveFloat = Annotated[float, Gt(0)]
FractionFloat = Annotated[float, Interval(ge=0, le=1)]
NonNegativeInt = Annotated[int, Ge(0)]
PositiveInt = Annotated[int, Ge(1)]

TYPE_OF_DEFAULT = {float: Number, int: int, bool: bool}  # for arguments without annotation
UNIONS = (Union, UnionType)


def accepts(hint: Any, value: Any, limits: Any = None) -> bool:
    """Whether a value is of the type; types that are not named here accept anything."""
    base, limits = _unwrapped(hint, limits)
    origin = get_origin(base)
    if origin in UNIONS:
        return any(accepts(each, value, limits) for each in get_args(base))
    if origin is Literal:
        return any(isinstance(value, type(choice)) and value == choice for choice in get_args(base))
    if base is bool:
        return isinstance(value, (bool, np.bool_))
    if base in (int, float):
        finite = is_number(value) and math.isfinite(value)
        return finite and (base is float or value == int(value)) and _inside(value, limits)
    return isinstance(value, base) if isinstance(base, type) else True


def describe(hint: Any) -> str:
    """What `accepts` allows, in words."""
    *words, last = _words(hint)
    return f"{', '.join(words)} or {last}" if words else last


def numbers_in(hint: Any) -> dict[type, dict[str, float]]:
    """The kinds of numbers that a type accepts, `int` or `float`, each with its limits.

    Limits are named as in `annotated_types`: `{"ge": 0, "lt": 1}` is the interval [0, 1).
    """
    base, limits = _unwrapped(hint)
    if get_origin(base) in UNIONS:
        inside = [numbers_in(Annotated[each, Interval(**limits)]) for each in get_args(base)]
        return {kind: found for each in inside for kind, found in each.items()}
    return {base: limits} if base in (int, float) else {}


def may_change(hint: Any) -> bool:
    """Whether an argument of a rule may change during training: numbers, but not integers."""
    return float in numbers_in(hint)


def _words(hint, limits=None):
    base, limits = _unwrapped(hint, limits)
    origin = get_origin(base)
    if origin in UNIONS:
        return [word for each in get_args(base) for word in _words(each, limits)]
    if origin is Literal:
        return [repr(choice) for choice in get_args(base)]
    if base in (int, float):
        return [f"{'an integer' if base is int else 'a number'} {_interval(limits)}".strip()]
    return WORDS.get(base) or [f"a {(origin or base).__name__}"]


def _unwrapped(hint, limits=None):
    """The type without its annotations, and the limits that these add."""
    if get_origin(hint) is not Annotated:
        return hint, limits or {}
    base, *marks = get_args(hint)
    found = {name: x for mark in marks for name, x in asdict(mark).items() if x is not None}
    return base, (limits or {}) | found


def _inside(value, limits):
    return all(getattr(operator, name)(value, limit) for name, limit in limits.items())


def _interval(limits):
    if not limits:
        return ""
    if len(limits) == 1:
        ((name, limit),) = limits.items()
        return f"{SIGNS[name]} {limit}"
    low = f"[{limits['ge']}" if "ge" in limits else f"({limits['gt']}"
    high = f"{limits['le']}]" if "le" in limits else f"{limits['lt']})"
    return f"in {low}, {high}"


WORDS = {NoneType: ["None"], bool: ["True", "False"], str: ["a string"]}
SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


# -- checks ----------------------------------------------------------------------------------


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
