"""What Keras' TensorBoard callback does not write."""

from importlib.util import find_spec

import keras
import pytest

from keras_gdx.callbacks import TensorBoardScalars
from tests.defects.harness import column, keras_shows, linear_model
from tests.events import scalars

INSTALLED = find_spec("tensorboard") is not None


def epochs_told(callback):
    """The epochs whose loss is in the files after 3 epochs of 4 batches."""
    model, x = linear_model("sgd"), column(1, 2, 3, 4)
    model.fit(x, x, batch_size=1, epochs=3, verbose=0, callbacks=[callback])
    return [step for step, _ in scalars(callback.log_dir).get("train:epoch_loss", [])]


def epochs_told_by_keras(callback):
    """Where the package is missing, as after installing TensorFlow, what the exception says."""
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
