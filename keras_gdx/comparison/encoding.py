"""Settings as JSON: numbers, arrays, spaces, Keras objects, and functions by their names."""

import hashlib
import sys
from collections.abc import Callable, Mapping, MutableMapping
from copy import deepcopy
from dataclasses import fields, is_dataclass
from functools import reduce
from importlib import import_module
from typing import Any

import numpy as np

from keras_gdx.comparison.spaces import Advised, Choice
from keras_gdx.config import pack, unpack

PLAIN = (bool, int, float, str, type(None))
OF_OPTIMIZERS = {"gradient_accumulation_steps", "inner", "inner_optimizer"}  # and of nothing else


def encode(value: Any, arrays: MutableMapping[str, Any]) -> Any:
    """What `decode` restores, if it can be restored in another process.

    Args:
        value: Lists and tuples are the same.
        arrays: Receives the arrays, by the hashes of their contents.
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, (list, tuple)):
        return [encode(x, arrays) for x in value]
    if isinstance(value, Mapping):
        return {str(name): encode(x, arrays) for name, x in value.items()}
    if isinstance(value, Choice) and not isinstance(value, Advised):
        return {"$choice": encode(value.values, arrays)}
    if isinstance(value, np.ndarray):
        return {"$array": _keep(value, arrays)}
    if callable(value) and hasattr(value, "__qualname__"):
        return {"$function": f"{value.__module__}:{value.__qualname__}"}
    if is_dataclass(value):
        return {f.name: encode(getattr(value, f.name), arrays) for f in fields(value)}
    if hasattr(value, "get_config"):
        return _without_names(pack(value))
    return {"$opaque": f"{type(value).__module__}.{type(value).__qualname__}"}


def _without_names(packed: Any) -> Any:
    """A packed object without the names of optimizers, which Keras counts up in each process."""
    if isinstance(packed, list):
        return [_without_names(x) for x in packed]
    if not isinstance(packed, dict):
        return packed
    unnamed = {name: _without_names(x) for name, x in packed.items()}
    if OF_OPTIMIZERS & unnamed.keys():
        unnamed.pop("name", None)
    return unnamed


def decode(value: Any, arrays: Mapping[str, Any]) -> Any:
    """Undoes `encode`.

    Raises:
        ValueError: If something cannot be restored in another process.
    """
    if isinstance(value, list):
        return tuple(decode(x, arrays) for x in value)
    if not isinstance(value, dict):
        return value
    if "class_name" in value:
        return unpack(deepcopy(value))  # some of Keras' classes take their configuration apart
    if len(value) == 1:
        (kind, content), *_ = value.items()
        if kind == "$choice":
            return Choice(decode(content, arrays))
        if kind == "$array":
            return arrays[content]
        if kind == "$function":
            return resolve(content)
        if kind == "$opaque":
            raise ValueError(
                f"A {content} cannot be passed to other processes. Pass a function that creates "
                "it, or workers=0, which runs everything in this process."
            )
    return {name: decode(x, arrays) for name, x in value.items()}


def resolve(name: str) -> Callable[..., Any]:
    """The function of a name such as `"package.module:function"`.

    Raises:
        ValueError: If there is none.
    """
    module, _, path = name.partition(":")
    try:
        found: Any = sys.modules.get(module) or import_module(module)
        return reduce(getattr, path.split("."), found)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"Other processes cannot find the function {path!r} in {module!r} ({error}). Define it "
            "at the top level of a module or program, or pass workers=0, which runs everything in "
            "this process."
        ) from error


def _keep(value: Any, arrays: MutableMapping[str, Any]) -> str:
    content = hashlib.sha256(f"{value.dtype} {value.shape}".encode())
    content.update(np.ascontiguousarray(value).data)
    name = content.hexdigest()
    arrays[name] = value
    return name
