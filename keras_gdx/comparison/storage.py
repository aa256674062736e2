"""A comparison in one file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from keras_gdx.comparison.budget import Budget
from keras_gdx.comparison.encoding import decode, encode
from keras_gdx.comparison.run import Run
from keras_gdx.comparison.settings import Settings
from keras_gdx.comparison.strategies import Strategy
from keras_gdx.schema import check_form

NOT_STORED = ("build", "data", "test", "loss")  # which no result needs
FORM = {"settings": {"strategies": {str: {"name": str}}, "budget": dict}, "runs": [dict]}


def write_text(path: str | PathLike[str], text: str) -> None:
    """Writes a file, and creates its folder."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(text.encode("utf-8", "replace"))


def encoded(runs: Sequence[Run], settings: Settings) -> str:
    """A comparison as JSON."""
    arrays: dict[str, Any] = {}
    needless: Any = dict.fromkeys(NOT_STORED)
    given = replace(settings, **needless).encoded(arrays)
    return json.dumps(
        {
            "settings": given,
            "arrays": {n: {"dtype": str(x.dtype), "values": x.tolist()} for n, x in arrays.items()},
            "runs": [encode(run, {}) for run in runs],
        }
    )


def decoded(text: str) -> tuple[list[Run], Settings]:
    """Undoes `encoded`.

    Raises:
        ValueError: If the text has no comparison.
    """
    written = json.loads(text)
    check_form(written, FORM, "the comparison")
    arrays = {n: np.array(x["values"], x["dtype"]) for n, x in written["arrays"].items()}
    strategies = {
        name: _strategy(each, arrays)
        for name, each in written["settings"].pop("strategies").items()
    }
    given = {name: decode(value, arrays) for name, value in written["settings"].items()}
    given |= {"strategies": strategies, "budget": Budget(**given["budget"])}
    return [Run.decoded(each) for each in written["runs"]], Settings(**given)


def _strategy(given: Mapping[str, Any], arrays: Mapping[str, Any]) -> Strategy:
    """A strategy. If its functions belong to another program, only `build` raises an error."""
    try:
        return Strategy(**decode(dict(given), arrays))
    except (ValueError, TypeError) as error:
        reason = f"Strategy {given['name']!r} cannot be built by this program: {error}"

    def unknown(**_: Any) -> Any:
        raise ValueError(reason)

    return Strategy(given["name"], unknown)
