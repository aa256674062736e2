"""Reads an optimizer's hyperparameters, resolving schedules and variables; sets learning rates."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_gdx.arguments import is_schedule
from keras_gdx.engine.late_weights import updates_of
from keras_gdx.integration.model_optimizers import course_of, layers_of, optimizers_of

__all__ = []


def rate_groups(model: Any) -> list[tuple[str, list[Any]]]:
    """Finds the optimizers of a model that have a learning rate, and those they wrap.

    Returns:
        A list of `(suffix, layers)`. `layers` lists a wrapper before the optimizer it wraps;
        the first one holds the learning rate. There is one entry with an empty suffix, or,
        with a `MultiOptimizer`, one for each of its parts: `_` and the part's name, as in
        Keras' own logs, numbered if names repeat. For an optimizer that is an attribute of the
        model, `_` and the attribute's name come before that.
    """
    found = optimizers_of(model)
    used = {name for name, optimizer in found.items() if updates_of(optimizer)}
    if used and "" not in used:  # `compile` creates a default optimizer, here unused
        found.pop("", None)
    return [
        (f"_{name}{suffix}" if name else suffix, layers)
        for name, optimizer in found.items()
        for suffix, layers in _groups(optimizer)
    ]


def _groups(optimizer: Any) -> list[tuple[str, list[Any]]]:
    layers = layers_of(optimizer)
    parts = getattr(layers[-1], "optimizers", None)
    if parts is None:
        return [("", layers)]
    names = [part.name for part in parts]
    unique = len({*names}) == len(names)
    suffixes = [f"_{name}" if unique else f"_{name}_{i}" for i, name in enumerate(names)]
    return [(suffix, layers_of(part)) for suffix, part in zip(suffixes, parts, strict=True)]


def number(value: Any, step: Any) -> float:
    """Returns the float value of a number, variable, schedule or callable at `step`."""
    if is_schedule(value):
        value = value(step)
    elif callable(value):
        value = value()
    # `float` alone cannot read a variable that tf.distribute mirrors
    return float(keras.ops.convert_to_numpy(value))


def check_rates(model: Any) -> None:
    """Raises `ValueError` if a learning rate of `model` is known to be fixed."""
    for _, layers in rate_groups(model):
        rate = layers[0].learning_rate
        setters = [getattr(type(layer), "learning_rate", None) for layer in layers]
        keras_own = keras.optimizers.Optimizer.learning_rate
        settable = not (callable(rate) or keras_own in setters)
        if not (isinstance(rate, keras.Variable) or settable):
            raise ValueError(_refusal(layers))


def set_rate(layers: list[Any], rate: float) -> None:
    """Sets the learning rate of one of `rate_groups`.

    Raises:
        ValueError: If it cannot be set.
    """
    try:
        layers[0].learning_rate = rate
    except (AttributeError, TypeError) as error:
        raise ValueError(_refusal(layers)) from error


def _refusal(layers: list[Any]) -> str:
    return (
        f"The learning rate of {layers[-1].name!r} cannot be changed: it is a callable, or the "
        "schedule of one of Keras' own optimizers. Give a number as `learning_rate`, or, for a "
        "schedule, use an optimizer of keras_gdx: those scale it."
    )


def hyperparameters(model: Any, names: Sequence[str]) -> dict[str, float]:
    """Returns the value of each hyperparameter in use, for the next update.

    Args:
        model: A compiled model.
        names: Attributes of optimizers; missing ones and `None` are left out, and so is
            `ema_momentum` without `use_ema`. A wrapper's value has precedence.
    """
    found: dict[str, float] = {}
    for suffix, layers in rate_groups(model):
        for name in names:
            user = next((layer for layer in layers if _in_use(layer, name) is not None), None)
            if user is not None:
                found[name + suffix] = number(getattr(user, name), user.iterations)
    return found


def scheduled_rates(
    model: Any, since: Mapping[str, int], count: int
) -> dict[str, dict[str, list[float]]]:
    """Learning rates of past updates, of each optimizer whose rate follows a schedule.

    Args:
        model: A compiled model.
        since: The first of the updates, by the name of the learning rate; see `updates`.
        count: Maximum number of updates for each optimizer, at even distances.

    Returns:
        A dictionary of `update` and `rate`, lists of numbers, by the name of the learning rate.
    """
    found = {}
    for name, optimizer, course in _courses(model):
        first, last = since.get(name, 0), int(optimizer.iterations) - 1
        if first <= last:
            at = sorted({round(t) for t in np.linspace(first, last, count)})
            found[name] = {"update": at, "rate": [number(course(t), t) for t in at]}
    return found


def updates(model: Any) -> dict[str, int]:
    """The number of updates of the optimizers that `scheduled_rates` tells of."""
    return {name: int(optimizer.iterations) for name, optimizer, _ in _courses(model)}


def _courses(model: Any) -> Iterator[tuple[str, Any, Callable[[int], Any]]]:
    for suffix, layers in rate_groups(model):
        found = ((layer, course_of(layer)) for layer in layers)
        for optimizer, course in [each for each in found if each[1]][:1]:
            yield f"learning_rate{suffix}", optimizer, course


def _in_use(optimizer: Any, name: str) -> Any:
    averages = name != "ema_momentum" or getattr(optimizer, "use_ema", True)
    return getattr(optimizer, name, None) if averages else None
