"""The facts about a run that the report shows."""

import inspect
import math
import platform
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_gdx._version import __version__
from keras_gdx.integration.devices import device_names
from keras_gdx.integration.random_state import seed
from keras_gdx.report.markup import said


def facts(
    model: keras.Model, params: Mapping[str, Any], batch_size: int | None, callbacks: Sequence[Any]
) -> dict[str, dict[str, str]]:
    """Everything about a `fit` that is known before its first step.

    Args:
        model: The model.
        params: The callbacks' `params`, as set by Keras.
        batch_size: Examples per batch; `None` if unknown.
        callbacks: All callbacks.

    Returns:
        A dictionary of texts for each title.
    """
    optimizer = model.optimizer
    backend = keras.backend.backend()
    return {
        "Model": {
            "name": model.name,
            "class": type(model).__name__,
            **parameters(model),
            "loss": loss(getattr(model, "loss", None)),
        },
        "Run": {
            "epochs": said(params.get("epochs", "unknown")),
            "steps per epoch": said(params.get("steps") or "unknown"),
            "batch size": said(batch_size or "as the data comes"),
            "seed": "not set" if seed() is None else str(seed()),
            "devices": ", ".join(devices()),
            "callbacks": ", ".join(type(each).__name__ for each in callbacks) or "none",
        },
        "Software": {
            "keras": keras.__version__,
            "keras_gdx": __version__,
            backend: getattr(sys.modules.get(backend), "__version__", "unknown"),
            "python": platform.python_version(),
            "system": platform.platform(),
        },
        "Optimizer": {"class": type(optimizer).__name__, **settings(optimizer)},
    }


def settings(optimizer: Any) -> dict[str, str]:
    """All arguments of an optimizer; those with default values in one text."""
    defaults: dict[str, Any] = {"name": None}
    for cls in reversed(type(optimizer).__mro__):
        if "__init__" in vars(cls):
            defaults |= {p.name: p.default for p in inspect.signature(cls).parameters.values()}
    config = {n: said(value) for n, value in optimizer.get_config().items() if n != "name"}
    usual = [n for n, value in config.items() if n in defaults and value == said(defaults[n])]
    given = {name: value for name, value in config.items() if name not in usual}
    return given | {"by default": ", ".join(f"{name} {config[name]}" for name in usual)}


def parameters(model: keras.Model) -> dict[str, str]:
    """The number of parameters, and of trainable ones."""
    total, trained = (
        sum(math.prod(weight.shape) for weight in weights)
        for weights in (model.weights, model.trainable_weights)
    )
    return {"parameters": said(total), "of these trainable": said(trained)}


def loss(given: Any) -> str:
    """The names of one or several losses."""
    if isinstance(given, dict):
        return ", ".join(f"{name}: {loss(each)}" for name, each in given.items())
    if isinstance(given, (list, tuple)):
        return ", ".join(map(loss, given))
    return str(getattr(given, "name", None) or getattr(given, "__name__", None) or given)


def devices() -> list[str]:
    """The devices, GPUs by product name."""
    found = device_names()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        for device in tf.config.list_physical_devices("GPU"):
            details = tf.config.experimental.get_device_details(device)
            found.append(details.get("device_name", device.name))
    return found
