"""Types of arguments that several callbacks have."""

import os
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from keras_gdx.arguments import Form

__all__ = []


def _path(value: Any) -> str | None:
    return (os.fspath(value) or None) if isinstance(value, (str, os.PathLike)) else None


def _pattern(value: Any) -> re.Pattern[str] | None:
    try:
        return re.compile(value) if isinstance(value, str) else None
    except re.error:
        return None


def _names(value: Any) -> list[str] | None:
    listed = isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)
    return list(value) if listed else None


File = Annotated[str | os.PathLike[str], Form(_path, "the name of a file")]
Folder = Annotated[str | os.PathLike[str], Form(_path, "the name of a folder")]
Pattern = Annotated[str, Form(_pattern, "a regular expression")]
Names = Annotated[Sequence[str], Form(_names, "a list of names")]
Mode = Literal["auto", "min", "max"]
Verbosity = Literal[0, 1, 2] | bool
