"""Checks the structure of data from a file before it is used."""

import reprlib
from typing import Any


def check_form(value: Any, form: Any, name: str) -> None:
    """Raises `ValueError` unless nested data has the given form.

    Args:
        value: The data: JSON types and arrays.
        form: A type, or several as in `int | None`; a function that returns whether a value is
            valid, and whose docstring describes valid values in the error; `[form]` for a list of
            such values; `{"name": form}` for a dictionary with these keys, and possibly others;
            `{str: form}` for a dictionary from strings to such values; `(form, None)` for a value
            that may be `None`.
        name: The name of the data in the error.

    Example:
        >>> check_form({"sizes": [3, -1]}, {"sizes": [count]}, "it")
        Traceback (most recent call last):
        ...
        ValueError: it.sizes[1] must be an integer >= 0. It is -1.
    """
    if isinstance(form, tuple):
        if value is not None:
            check_form(value, form[0], name)
    elif isinstance(form, list):
        _require(isinstance(value, list), "a list", value, name)
        for index, each in enumerate(value):
            check_form(each, form[0], f"{name}[{index}]")
    elif isinstance(form, dict):
        texts = isinstance(value, dict) and all(isinstance(key, str) for key in value)
        _require(texts, "a dictionary from texts", value, name)
        for key, each in form.items():
            if key is not str:
                _require(key in value, f"a dictionary with {key!r}", value, name)
            for found in value if key is str else [key]:
                check_form(value[found], each, f"{name}.{found}")
    elif hasattr(form, "__code__"):
        text = form.__doc__[0].lower() + form.__doc__[1:].rstrip(".")
        _require(form(value), text, value, name)
    else:
        _require(isinstance(value, form), getattr(form, "__name__", str(form)), value, name)


def count(value: Any) -> bool:
    """An integer >= 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _require(condition: Any, allowed: str, value: Any, name: str) -> None:
    if not condition:
        raise ValueError(f"{name} must be {allowed}. It is {reprlib.repr(value)}.")
