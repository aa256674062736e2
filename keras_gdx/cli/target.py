"""Finds what the user of a command means by `module:function`."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

HELP = "module:function or file.py:function"


class UsageError(Exception):
    """The command was typed in a wrong way; the text says what to type instead."""


class TargetError(Exception):
    """The user's own code raised an error, which is its cause."""


def load(target: str) -> Any:
    """The function, or other object, that a target names.

    Raises:
        UsageError: If there is none.
        TargetError: If importing it raises an error.
    """
    place, colon, name = target.rpartition(":")
    if not colon or not place or not name:
        raise UsageError(f"{target!r} is no target: type {HELP}, such as train.py:build")
    path = Path(place)
    if path.suffix == ".py":
        if not path.is_file():
            raise UsageError(f"there is no file {place}")
        sys.path.insert(0, str(path.resolve().parent))  # for its own imports, and for workers
        place = path.stem
    else:
        search_here()
    try:
        module = import_module(place)
    except ModuleNotFoundError as error:
        if error.name and place.split(".")[0] == error.name.split(".")[0]:
            raise UsageError(f"there is no module {place}: type {HELP}") from None
        raise TargetError(target) from error
    except Exception as error:
        raise TargetError(target) from error
    if not hasattr(module, name):
        names = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise UsageError(f"{place} has no {name!r}, but {', '.join(names) or 'no function'}")
    return getattr(module, name)


def search_here() -> None:
    """Makes modules in the working directory importable, as `python` does."""
    if "" not in sys.path:
        sys.path.insert(0, "")


def call(target: str) -> Any:
    """What the function of a target returns; any other object is returned as it is.

    Raises:
        UsageError: If there is none.
        TargetError: If it raises an error.
    """
    found = load(target)
    try:
        return found() if callable(found) and not hasattr(found, "fit") else found
    except Exception as error:
        raise TargetError(target) from error


def model_of(target: str) -> tuple[Any, Any]:
    """The model, and the data or `None`, that a target returns.

    Raises:
        UsageError: If it returns anything else.
    """
    found = call(target)
    model, data = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
    if not hasattr(model, "fit"):
        raise UsageError(
            f"{target} must return a built Keras model, or a pair of a model and data. "
            f"Received: {type(found).__name__}"
        )
    return model, data
