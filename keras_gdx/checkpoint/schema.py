"""Checks the content of a checkpoint before it is used."""

import os
from typing import Any

import numpy as np

from keras_gdx.arguments import is_number
from keras_gdx.integration.random_state import is_random_state
from keras_gdx.schema import check_form, count


def check_checkpoint(content: Any) -> None:
    """Raises `ValueError` unless this is content that `ResumableCheckpoint` saves."""
    check_form(content, CHECKPOINT, "content")
    _check_model(content["model"])


def check_copy(content: Any) -> None:
    """Raises `ValueError` unless this is content that `FaultGuard` saves."""
    check_form(content, COPY, "content")
    _check_model(content["model"])


def check_metrics(saved: Any, now: Any, source: str | os.PathLike[str]) -> None:
    """Raises `ValueError` if metrics of an unfinished epoch do not fit the model.

    Args:
        saved: What `snapshot.metric_values` returned when saving.
        now: What it returns now.
        source: Where the metrics come from, for the error.
    """
    shapes = [[[np.shape(x) for x in each] for each in values] for values in (saved, now)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"The checkpoint in {source} was saved in the middle of an epoch with other metrics "
            "than this model has. Compile with the same metrics until the epoch ends."
        )


def array_or_number(value: Any) -> bool:
    """An array or a number."""
    return isinstance(value, (np.ndarray, bool, int, float))


def number(value: Any) -> bool:
    """A number."""
    return is_number(value)


def variable(value: Any) -> bool:
    """A name, a shape and a dtype."""
    right = isinstance(value, list) and [type(each) for each in value] == [str, list, str]
    return right and all(map(count, value[1]))


def plan(value: Any) -> bool:
    """The first update of a run and how many it has, or None."""
    right = isinstance(value, list) and len(value) == 2 and count(value[0])
    return right and (value[1] is None or count(value[1]))


NUMBERS: dict[str, Any] = {"own": {str: number}}
NUMBERS["parts"] = {str: NUMBERS}
MODEL = {
    "layout": [variable],
    "values": [[array_or_number]],
    "optimizers": [{"numbers": NUMBERS, "shown": bool, "plans": [plan]}],
    "moved": {str: [(count, None)]},
    "random": is_random_state,
}
POSITION = {
    "batch": count,
    "begun": count,
    "drawn": count,
    "over": bool,
    "num_batches": (count, None),
    "state": ({str: bytes}, None),
    "source": object,
    "settings": dict,
}
COPY = {"step": count, "epoch": count, "model": MODEL, "metrics": [[array_or_number]]}
CHECKPOINT = COPY | {
    "stopped": bool,
    "seed": count,
    "position": POSITION,
    "callbacks": [{"class": str, "memory": (dict, None)}],
    "settings": dict,
}


def _check_model(model: dict[str, Any]) -> None:
    """Raises `ValueError` unless all values have the shapes and dtypes of the layout."""
    layout, values = model["layout"], model["values"]
    if len(layout) != len(values):
        raise ValueError(f"it has values of {len(values)} variables instead of {len(layout)}")
    for (path, shape, dtype), copies in zip(layout, values, strict=True):
        if not copies or not all(_fits(value, shape, dtype) for value in copies):
            raise ValueError(f"the value of {path!r} is not one of shape {shape} and {dtype!r}")
    for positions in model["moved"].values():
        if any(i is not None and i >= len(layout) for i in positions):
            raise ValueError("an optimizer refers to variables that do not exist")


def _fits(value: Any, shape: list[int], dtype: str) -> bool:
    if isinstance(value, np.ndarray):
        return [*value.shape] == shape and value.dtype.name == dtype
    try:
        np.dtype(dtype).type(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return not shape
