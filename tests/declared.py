"""Values for arguments, made from their declared types: wrong ones and other valid ones."""

from collections.abc import Callable, Mapping, Sequence
from math import inf, nan
from types import NoneType
from typing import Literal, get_args, get_origin

import keras
import pytest
from keras.optimizers.schedules import LearningRateSchedule

from keras_gdx import optimizers
from keras_gdx.arguments import Form, alternatives
from keras_gdx.config import argument_types, declared_arguments
from keras_gdx.schedules import Constant

CHECKED = (int, float, bool, str, NoneType, LearningRateSchedule)
NO_FORMS = [nan, -1.5, True, b"x", [0.1], {}, object()]
NO_NUMBERS = [nan, inf, -inf, "0.1", "fast", [0.1], True, object()]


def wrong_values(hint):
    """Values that no argument of this type accepts; none for types that accept anything."""
    kinds = [base for base, _ in alternatives(hint)]
    if any(isinstance(kind, Form) for kind in kinds):
        return NO_FORMS + ([] if NoneType in kinds else [None])
    checked = [k for k in kinds if k in CHECKED or get_origin(k) in (Literal, Callable)]
    if checked != kinds or {*kinds} == {str, NoneType}:
        return []
    outside = [(base, x) for base, limits in alternatives(hint) for x in _outside(base, limits)]
    wrong = [x for base, x in outside if base is type(x) or type(x) not in kinds]
    wrong += [[choice] for choice in _choices(kinds)]
    wrong += [x for x in NO_NUMBERS if not (type(x) in kinds and type(x) in (bool, str))]
    if any(limits.get("le") == inf for _, limits in alternatives(hint)):
        wrong = [x for x in wrong if x is not inf]
    functions = any(get_origin(k) is Callable for k in kinds)
    wrong += [] if functions or LearningRateSchedule in kinds else [Constant(1.0)]
    wrong += [] if NoneType in kinds else [None]
    return [x for x in wrong if x not in _choices(kinds)]


def _outside(base, limits):
    step = 1 if base is int else 1e-6
    for name, limit in limits.items():
        below = -step if name in ("ge", "gt") else step
        outside = [limit + below, *([limit] if name in ("gt", "lt") else [])]
        yield from outside if limit != inf else []
    if base is int:
        yield from (1.5, 64.0)
    if base is bool:
        yield from (0, 1)
    if get_origin(base) is Literal:
        yield from (f"{choice} " for choice in get_args(base))


def _choices(kinds):
    return [x for kind in kinds if get_origin(kind) is Literal for x in get_args(kind)]


def refuses_wrong_values(valid):
    """Asserts that a class refuses wrong values of each argument, before and after construction.

    Args:
        valid: An instance, whose arguments are valid.
    """
    cls, types, config = type(valid), argument_types(type(valid)), valid.get_config()
    arguments = {name: getattr(valid, name) for name in declared_arguments(cls)}
    for name in arguments:
        told = rf"`{name}` must be .*Received: {cls.__name__}\({name}="
        for value in wrong_values(types[name]):
            with pytest.raises(ValueError, match=told):
                cls(**arguments | {name: value})
            with pytest.raises(ValueError, match=told):
                setattr(valid, name, value)
    assert valid.get_config() == config


def another_value(hint, value):
    """A value other than this one, valid where the type tells what is valid."""
    return next(x for base, limits in alternatives(hint) for x in _some(base, limits) if x != value)


def _some(base, limits):
    if base is bool:
        return False, True
    if get_origin(base) is Literal:
        return get_args(base)
    if base in (int, float):
        least = limits.get("ge", limits.get("gt", 0))
        return [least + n / 8 for n in range(1, 8)] if base is float else [least + 2, least + 3]
    if get_origin(base) is Sequence:
        return (["bias"],) if get_args(base) == (str,) else ((2.0, -1.5, 0.5),)
    if get_origin(base) is Mapping:
        return ({"bias": 0.5},)
    if isinstance(base, type) and issubclass(base, keras.optimizers.Optimizer):
        return (optimizers.SGD(),)
    return ("another",)
