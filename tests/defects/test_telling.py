"""Defects of Keras: what callbacks receive, and what its TensorBoard callback omits."""

from importlib.util import find_spec

import keras
import numpy as np
import pytest

from keras_gdx.callbacks import FaultGuard, TensorBoardScalars
from tests.defects.harness import column, keras_shows, linear_model
from tests.events import scalars

INSTALLED = find_spec("tensorboard") is not None


def epochs_told(callback):
    """The epochs whose loss is in the files after 3 epochs of 4 batches."""
    model, x = linear_model("sgd"), column(1, 2, 3, 4)
    model.fit(x, x, batch_size=1, epochs=3, verbose=0, callbacks=[callback])
    return [step for step, _ in scalars(callback.log_dir).get("train:epoch_loss", [])]


def epochs_told_by_keras(callback):
    """The exception if the package is missing, as after installing TensorFlow alone."""
    try:
        return epochs_told(callback)
    except Exception as error:
        return str(error).partition(",")[0]


@pytest.mark.parametrize("update_freq", [1000, 5])
def test_keras_d29_loses_epochs_whose_end_is_no_multiple(update_freq, tmp_path):
    callback = keras.callbacks.TensorBoard(str(tmp_path), update_freq=update_freq)
    wrong = [] if INSTALLED else "TensorBoard is not installed"
    keras_shows(wrong, [0, 1, 2], epochs_told_by_keras, callback)


def test_ours_d29_writes_every_epoch(tmp_path):
    assert epochs_told(TensorBoardScalars(tmp_path)) == [0, 1, 2]


X = column(1, 2, 6, 3)  # with weight 1 these are the losses


def losses_told(watch, losses):
    """The losses of four batches of one example, as a callback sees them."""
    model = linear_model(keras.optimizers.SGD(0.0))
    model.set_weights([np.ones((1, 1))])
    model.fit(X, X, batch_size=1, shuffle=False, verbose=0, callbacks=[watch])
    return losses(watch)


class Logs(keras.callbacks.Callback):
    """Records the losses in the logs of batches."""

    def on_train_begin(self, logs=None):
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])


def test_keras_d17_logs_of_batches_are_means_of_the_epoch_so_far():
    keras_shows([1, 1.5, 3, 3], [1, 2, 6, 3], losses_told, Logs(), lambda logs: logs.losses)


def test_ours_d17_losses_are_those_of_the_batch():
    guard = FaultGuard(spike=None)
    assert losses_told(guard, lambda guard: guard.memory.losses) == (1, 2, 6, 3)
