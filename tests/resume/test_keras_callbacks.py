"""Keras' own callbacks go on as in an uninterrupted run, or are named in a warning."""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_gdx.callbacks import ResumableCheckpoint
from keras_gdx.integration.callback_state import (
    CARRIED,
    REASONS,
    STATELESS,
    restore_keras,
    states,
    warn_of_others,
)
from tests.resume.interruption import Interrupted, Interruption

X = np.random.default_rng(0).normal(size=(24, 2)).astype("float32")
Y = X.sum(axis=1, keepdims=True)
EPOCHS, STEPS = 5, 3


def fit(folder, make, kill=None):
    """Trains, from the checkpoint if there is one; returns weights, history and callback."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.2, use_ema=True, ema_momentum=0.5), "mse")
    callback = make(folder)
    listed = [callback, ResumableCheckpoint(folder / "run", every="1 step")]
    listed += [Interruption(kill)] if kill else []
    history = model.fit(X, Y, batch_size=8, epochs=EPOCHS, verbose=0, callbacks=listed)
    return model.get_weights(), history.history, callback


def halving(epoch, rate):
    return rate / 2


CALLBACKS = {
    "EarlyStopping": lambda path: keras.callbacks.EarlyStopping(
        "loss", patience=2, mode="max", restore_best_weights=True
    ),
    "ReduceLROnPlateau": lambda path: keras.callbacks.ReduceLROnPlateau(
        "loss", patience=2, mode="max"
    ),
    "ModelCheckpoint": lambda path: keras.callbacks.ModelCheckpoint(
        path / "{epoch}-{batch}.weights.h5", save_weights_only=True, save_freq=4
    ),
    "History": lambda path: keras.callbacks.History(),
    "SwapEMAWeights": lambda path: keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
    "CSVLogger": lambda path: keras.callbacks.CSVLogger(path / "log.csv"),
    "LearningRateScheduler": lambda path: keras.callbacks.LearningRateScheduler(halving),
    "LambdaCallback": lambda path: keras.callbacks.LambdaCallback(),
    "TerminateOnNaN": lambda path: keras.callbacks.TerminateOnNaN(),
}


@pytest.mark.parametrize("name", CALLBACKS)
def test_goes_on_exactly(name, tmp_path):
    """From the end of an epoch, and from the middle of one."""
    whole = fit(tmp_path / "whole", CALLBACKS[name])
    for batches in (STEPS + 1, STEPS + 2):
        with pytest.raises(Interrupted):
            fit(tmp_path / "parts", CALLBACKS[name], batches)
    found = fit(tmp_path / "parts", CALLBACKS[name])
    for a, b in zip(whole[0], found[0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert found[1] == whole[1]
    memories = [states([run[2]])[0]["memory"] for run in (whole, found)]
    np.testing.assert_equal(*memories)
    assert memories[0] or name in STATELESS
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def test_tensorboard_counts_on():
    """Without the library that it needs to train."""
    before, after = keras.callbacks.TensorBoard(), keras.callbacks.TensorBoard()
    before._global_train_batch, before._global_test_batch = 7, 3
    restore_keras([after], states([before]))
    assert (after._global_train_batch, after._global_test_batch) == (7, 3)


def files(folder):
    """The names of what a callback has written, and the contents if they are text."""
    found = [p for p in Path(folder).rglob("*") if p.is_file() and p.suffix in (".csv", ".h5")]
    return {p.name: p.read_text() if p.suffix == ".csv" else None for p in found}


def test_each_of_keras_is_known():
    listed = {n for n, x in vars(keras.callbacks).items() if isinstance(x, type)}
    known = {*CARRIED, *STATELESS, *REASONS}
    assert listed - {"CallbackList"} <= known
    assert known - listed <= {"OrbaxCheckpoint"}  # Keras 3.12 has none
    tried = {*CALLBACKS, "TensorBoard", "Callback", "ProgbarLogger", "RemoteMonitor"}
    assert {*CARRIED, *STATELESS} == tried


def test_others_are_named(tmp_path):
    class Orbax(getattr(keras.callbacks, "OrbaxCheckpoint", keras.callbacks.BackupAndRestore)):
        """Without the library that it needs."""

        def __init__(self):
            keras.callbacks.Callback.__init__(self)

    for callback in (keras.callbacks.BackupAndRestore(tmp_path), Orbax()):
        with pytest.warns(UserWarning, match=f"state of `{type(callback).__name__}` is not in"):
            warn_of_others([callback])


def test_the_warning_comes_when_training_begins(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    listed = [keras.callbacks.BackupAndRestore(tmp_path / "a"), ResumableCheckpoint(tmp_path / "b")]
    with pytest.warns(UserWarning, match="what `ResumableCheckpoint` does: leave it out"):
        model.fit(X, Y, epochs=0, verbose=0, callbacks=listed)
