"""Saves and restores the state of callbacks, including Keras' own."""

import os
from collections.abc import Iterable, Iterator
from typing import Any

import keras

from keras_gdx.integration.stateful import Stateful

MEMORY = {  # the attributes that Keras' callbacks change during training
    "EarlyStopping": ("wait", "stopped_epoch", "best", "best_epoch", "best_weights"),
    "ReduceLROnPlateau": ("cooldown_counter", "wait", "best"),
    "ModelCheckpoint": ("best", "epochs_since_last_save"),
    "History": ("epoch", "history"),
}


def states(callbacks: Iterable[Any]) -> list[dict[str, Any]]:
    """The state of each callback, in order; `None` for one that does not expose it."""
    return [_state(callback) for callback in callbacks]


def restore_ours(
    callbacks: Iterable[Any], saved: Iterable[dict[str, Any]], source: str | os.PathLike[str]
) -> None:
    """Restores callbacks that implement `Stateful`. Call it before `fit`.

    Raises:
        ValueError: If a callback rejects its state; the message names `source`.
    """
    for callback, state in _pairs(callbacks, saved):
        if isinstance(callback, Stateful) and state["memory"] is not None:
            try:
                callback.restore(state["memory"])
            except Exception as error:
                raise ValueError(
                    f"{type(callback).__name__} cannot resume from its state in the checkpoint "
                    f"{source}: {error}"
                ) from error


def restore_keras(callbacks: Iterable[Any], saved: Iterable[dict[str, Any]]) -> None:
    """Restores Keras' own callbacks. Call it after they are reset at the start of `fit`."""
    for callback, state in _pairs(callbacks, saved):
        if not isinstance(callback, Stateful):
            for name in _attributes(callback):  # another version of Keras may lack some
                if name in (state["memory"] or {}):
                    setattr(callback, name, state["memory"][name])


def _pairs(
    callbacks: Iterable[Any], saved: Iterable[dict[str, Any]]
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Pairs of a callback and its saved state, matched by class and order within the class."""
    left = list(saved)
    for callback in callbacks:
        for state in left:
            if state["class"] == type(callback).__name__:
                left.remove(state)
                yield callback, state
                break


def _state(callback: Any) -> dict[str, Any]:
    memory = None
    if isinstance(callback, Stateful):
        memory = callback.state()
    elif names := _attributes(callback):
        memory = {name: getattr(callback, name) for name in names}
    return {"class": type(callback).__name__, "memory": memory}


def _attributes(callback: Any) -> list[str]:
    for cls in type(callback).__mro__:
        if cls is getattr(keras.callbacks, cls.__name__, None) and cls.__name__ in MEMORY:
            return [name for name in MEMORY[cls.__name__] if hasattr(callback, name)]
    return []
