"""Saves and restores the state of callbacks, including Keras' own."""

import warnings

import keras

from keras_gdx.integration.stateful import Stateful

EACH_BATCH = ("_batches_seen_since_last_saving", "_last_batch_seen")
CARRIED = {  # the attributes that Keras' callbacks change during training
    "EarlyStopping": ("wait", "stopped_epoch", "best", "best_epoch", "best_weights"),
    "ReduceLROnPlateau": ("cooldown_counter", "wait", "best"),
    "ModelCheckpoint": ("best", *EACH_BATCH),
    "History": ("epoch", "history"),
    "SwapEMAWeights": ("_ema_weights_in_model",),
    "TensorBoard": ("_global_train_batch", "_global_test_batch"),
    "CSVLogger": ("keys",),  # and the rows in its file
}
STATELESS = (
    "Callback", "LambdaCallback", "LearningRateScheduler", "ProgbarLogger", "RemoteMonitor",
    "TerminateOnNaN",
)  # fmt: skip
REASONS = {
    "BackupAndRestore": "it repeats, less exactly, what `ResumableCheckpoint` does: leave it out",
    "OrbaxCheckpoint": "it begins to count the batches between two of its checkpoints again",
}


def warn_of_others(callbacks):
    """Warns of Keras' callbacks whose state is not saved."""
    for callback in callbacks:
        name = _keras_class(callback)
        if name is not None and name not in (*CARRIED, *STATELESS):
            reason = REASONS.get(name, "it begins afresh when the run resumes")
            warnings.warn(
                f"The state of `{type(callback).__name__}` is not in the checkpoints: {reason}.",
                stacklevel=2,
            )


def states(callbacks):
    """The state of each callback, in order; `None` for one that does not expose it."""
    return [_state(callback) for callback in callbacks]


def restore_ours(callbacks, saved, source):
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
                    f"{type(callback).__name__} cannot go on from what the checkpoint in {source} "
                    f"remembers: {error}"
                ) from error


def restore_keras(callbacks, saved):
    """Restores Keras' own callbacks. Call it after they are reset at the start of `fit`."""
    for callback, state in _pairs(callbacks, saved):
        memory = state["memory"] or {}
        if isinstance(callback, Stateful):
            continue
        for name in _attributes(callback):  # another version of Keras may lack some
            if name in memory:
                setattr(callback, name, memory[name])
        if _keras_class(callback) == "CSVLogger" and isinstance(memory.get("rows"), str):
            _write_rows(callback, memory["rows"])


def _pairs(callbacks, saved):
    """Pairs of a callback and its saved state, matched by class and order within the class."""
    left = list(saved)
    for callback in callbacks:
        for state in left:
            if state["class"] == type(callback).__name__:
                left.remove(state)
                yield callback, state
                break


def _state(callback):
    memory = None
    if isinstance(callback, Stateful):
        memory = callback.state()
    elif names := _attributes(callback):
        memory = {name: getattr(callback, name) for name in names}
        if _keras_class(callback) == "CSVLogger":
            memory["rows"] = _rows(callback)
    return {"class": type(callback).__name__, "memory": memory}


def _attributes(callback):
    names = CARRIED.get(_keras_class(callback), ())
    return [name for name in names if hasattr(callback, name)]


def _keras_class(callback):
    """The name of Keras' class that a callback is an instance of; `None` for other callbacks."""
    for cls in type(callback).__mro__:
        if cls is getattr(keras.callbacks, cls.__name__, None):
            return cls.__name__
    return None


def _rows(logger):
    """The contents of the file of a `CSVLogger`; `None` if it is not a local file."""
    try:
        with open(logger.filename, newline="", encoding="utf-8") as file:
            return file.read()
    except OSError:
        return None


def _write_rows(logger, rows):
    """Makes the file of a `CSVLogger` contain these rows, and the logger go on after them."""
    logger.csv_file.seek(0)
    logger.csv_file.truncate()
    logger.csv_file.write(rows)
    logger.csv_file.flush()
    logger.append_header = not rows
