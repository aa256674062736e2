"""Defects of Keras: interrupted runs, and the order of examples in epochs."""

import contextlib

import keras
import numpy as np
import pytest

from keras_gdx.callbacks import ResumableCheckpoint
from tests.defects.harness import keras_shows

X = np.arange(40.0).reshape(40, 1) / 40


class Interruption(keras.callbacks.Callback):
    """Interrupts after a number of batches, and counts them."""

    def __init__(self, after=None):
        super().__init__()
        self.after = after
        self.batches = 0

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1
        if self.batches == self.after:
            raise KeyboardInterrupt


def model_with_dropout():
    keras.utils.set_random_seed(1)
    dropout = keras.layers.Dropout(0.5, seed=3)
    model = keras.Sequential([keras.Input((1,)), dropout, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model, dropout


def in_steps(folder):
    return keras.callbacks.BackupAndRestore(folder, save_freq=5)


def ours_in_steps(folder):
    return ResumableCheckpoint(folder, every="5 steps")


def by_epoch(folder):
    return keras.callbacks.BackupAndRestore(folder)


def batches_in_all(callback, folder):
    """Batches of 3 epochs of 10, interrupted after 16, saved after 15."""
    model, _ = model_with_dropout()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, X, 4, epochs=3, verbose=0, callbacks=[Interruption(16), callback(folder)])
    count = Interruption()
    model_with_dropout()[0].fit(X, X, 4, epochs=3, verbose=0, callbacks=[count, callback(folder)])
    return 15 + count.batches


def test_keras_d13_the_epoch_begins_again(tmp_path):
    keras_shows(35, 30, batches_in_all, in_steps, tmp_path / "backup")


def test_ours_d13_the_epoch_goes_on(tmp_path):
    assert batches_in_all(ours_in_steps, tmp_path) == 30


def masks_drawn(callback, folder):
    """The number of dropout masks drawn in 3 epochs of 10, interrupted after the first."""
    model, _ = model_with_dropout()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, X, 4, epochs=3, verbose=0, callbacks=[Interruption(11), callback(folder)])
    model, dropout = model_with_dropout()
    model.fit(X, X, 4, epochs=3, verbose=0, callbacks=[callback(folder)])
    return int(dropout.seed_generator.state.numpy()[1])


def test_keras_d14_random_states_are_not_saved(tmp_path):
    keras_shows(20, 30, masks_drawn, by_epoch, tmp_path / "backup")


def test_ours_d14_random_states_are_saved(tmp_path):
    assert masks_drawn(ResumableCheckpoint, tmp_path) == 30


def epochs_until_stopped(callback, folder):
    """The number of epochs with patience 4, interrupted in the third, when nothing improves."""
    zeros, done = np.zeros_like(X), 0
    for interruption in (Interruption(21), Interruption()):
        model, _ = model_with_dropout()
        stop = keras.callbacks.EarlyStopping("loss", patience=4)
        watch = [stop, interruption, callback(folder)]
        with contextlib.suppress(KeyboardInterrupt):
            model.fit(zeros, zeros, 4, epochs=20, verbose=0, callbacks=watch)
        done += interruption.batches // 10
    return done


def test_keras_d15_callbacks_forget(tmp_path):
    keras_shows(7, 5, epochs_until_stopped, by_epoch, tmp_path / "backup")


def test_ours_d15_callbacks_remember(tmp_path):
    assert epochs_until_stopped(ResumableCheckpoint, tmp_path) == 5


def orders(callbacks):
    """The number of different orders of eight examples in three epochs, after `set_random_seed`."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(1.0), loss=lambda y, p: p * y)
    kernel, seen = model.layers[0].kernel, []
    look = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs=None: seen.append(-kernel.numpy().item()),
        on_train_batch_end=lambda batch, logs=None: seen.append(kernel.numpy().item()),
    )
    x = 2.0 ** np.arange(8)[:, None]
    model.fit(x, np.ones_like(x), 1, epochs=3, verbose=0, callbacks=[look, *callbacks])
    steps = np.round(np.log2(-np.sum(np.reshape(seen, (3, 8, 2)), axis=2)))
    assert (np.sort(steps) == np.arange(8)).all()
    return len({tuple(order) for order in steps})


def test_keras_d28_every_epoch_has_the_same_order():
    keras_shows(1, 3, orders, [])


def test_ours_d28_every_epoch_has_an_order_of_its_own(tmp_path):
    assert orders([ResumableCheckpoint(tmp_path)]) == 3
