"""Settings as JSON: numbers, spaces, Keras objects, and functions by their names."""

import sys
from collections.abc import Callable, Mapping
from functools import reduce
from importlib import import_module
from types import FunctionType
from typing import Any

import numpy as np

from keras_gdx.comparison.spaces import Choice
from keras_gdx.config import pack, unpack


def encode(value: Any) -> Any:
    """What `decode` restores; a tuple and a list are the same.

    Raises:
        ValueError: If a function cannot be found by its name.
    """
    if isinstance(value, (list, tuple)):
        return [encode(x) for x in value]
    if isinstance(value, Mapping):
        return {name: encode(x) for name, x in value.items()}
    if isinstance(value, Choice):
        return {"choice": encode(value.values)}
    if isinstance(value, (FunctionType, type)):
        return {"function": reference(value)}
    return value.item() if isinstance(value, np.generic) else pack(value)


def decode(value: Any) -> Any:
    """Undoes `encode`."""
    if isinstance(value, list):
        return tuple(decode(x) for x in value)
    if not isinstance(value, dict):
        return value
    if "class_name" in value:
        return unpack(value)
    if value.keys() == {"choice"}:
        return Choice(decode(value["choice"]))
    if value.keys() == {"function"}:
        return resolve(value["function"])
    return {name: decode(x) for name, x in value.items()}


def reference(function: Any) -> str:
    """The name by which another process finds a function, such as `"package.module:function"`.

    Raises:
        ValueError: If it has none.
    """
    name = f"{function.__module__}:{function.__qualname__}"
    try:
        found = resolve(name)
    except (ImportError, AttributeError):
        found = None
    if found is not function:
        raise ValueError(
            f"{function.__qualname__} of {function.__module__} cannot be found by other processes. "
            "Define it at the top level of a module, or pass workers=0, which runs everything in "
            "this process."
        )
    return name


def resolve(name: str) -> Callable[..., Any]:
    """The function of a name such as `"package.module:function"`.

    Raises:
        ImportError: If there is no such module.
        AttributeError: If it has no such function.
    """
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module) or import_module(module)
    return reduce(getattr, path.split("."), found)
