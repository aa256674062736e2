"""Dictionaries that give a value from some moment of the training on."""

from collections.abc import Callable
from typing import Any

from keras_gdx.arguments import Form
from keras_gdx.callbacks._lib.amount import Amount, amount

__all__ = []


def stages_of(valid: Callable[[Any], bool], words: str, *units: str) -> Form:
    """The form of an argument that maps amounts of training to values.

    Args:
        valid: Whether a value is valid.
        words: What the values are, for error messages.
        *units: See `amount`.
    """

    def parse(stages: Any) -> dict[Amount, Any] | None:
        if not isinstance(stages, dict) or not stages:
            return None
        found: dict[Amount, Any] = {}
        for key, value in stages.items():
            when = amount(_number(key), units, least=0)
            if when is None or when in found or not valid(value):
                return None
            found[when] = value
        return found

    return Form(parse, f"a dictionary from {' or '.join(units)} >= 0, each once, to {words}")


def _number(key: Any) -> Any:
    """The integer that JSON made a string."""
    return int(key) if isinstance(key, str) and key.isdigit() else key
