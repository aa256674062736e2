"""Collects the findings of the callbacks of one `fit`."""

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from keras_gdx.arguments import is_number

__all__: list[str] = []


def sources(callbacks: Iterable[Any]) -> dict[str, Any]:
    """The callbacks with `findings`, by class name, numbered from the second of a class on."""
    found: dict[str, Any] = {}
    seen: Counter[str] = Counter()
    for callback in callbacks:
        if hasattr(callback, "findings"):
            name = type(callback).__name__
            seen[name] += 1
            found[name if seen[name] == 1 else f"{name}_{seen[name]}"] = callback
    return found


def logged(logs: Mapping[str, Any] | None) -> dict[str, float]:
    """The numbers in the logs of an epoch, by name. Logs may have anything: text, `None`, arrays.

    Example:
        >>> logged({"loss": 2, "best": None, "name": "2.0", "each": [1.0, 2.0]})
        {'loss': 2.0}
    """
    found: dict[str, float] = {}
    for name, value in (logs or {}).items():
        with suppress(TypeError, ValueError, OverflowError):
            if not isinstance(value, (str, bytes)) and np.ndim(value) == 0:
                found[name] = float(value)
    return found


def numbers(row: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers in a row and its nested dictionaries, by name.

    Example:
        >>> numbers({"step": 8, "norm": 2.0, "layers": {"a": {"norm": 1.0}}, "kind": "good"})
        {'norm': 2.0, 'layers/a/norm': 1.0}
    """
    found: dict[str, float] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            found |= numbers(value, f"{prefix}{name}/")
        elif is_number(value) and name != "step":
            found[prefix + name] = value
    return found
