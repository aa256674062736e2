"""Interrupted anywhere and resumed equals uninterrupted, bit for bit."""

import warnings

import keras
import numpy as np
import pytest

from keras_gdx.callbacks import ResumableCheckpoint
from tests.resume.interruption import Interrupted, Interruption
from tests.resume.training import BATCH, DATA, EPOCHS, OPTIMIZERS, X, Y, model_with, train

pytestmark = pytest.mark.filterwarnings("ignore:This data cannot save", "ignore:.*shuffle=True")


def interrupted(data, optimizer, batches, folder, **options):
    """Trains with interruptions after these numbers of batches, and then to the end."""
    for count in batches:
        with pytest.raises(Interrupted):
            train(data, optimizer, [Interruption(count)], folder=folder, **options)
    return train(data, optimizer, [], folder=folder, **options)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    known = {}

    def run(data, optimizer):
        if (data, optimizer) not in known:
            folder = tmp_path_factory.mktemp("straight")
            known[data, optimizer] = train(data, optimizer, [], folder=folder)
        return known[data, optimizer]

    return run


@pytest.mark.parametrize("data", DATA)
def test_in_any_data(data, straight, tmp_path):
    """At the end of an epoch, and in the middle of one."""
    found = interrupted(data, "AdamW, accumulating", (7, 5), tmp_path)
    assert found == straight(data, "AdamW, accumulating")


@pytest.mark.parametrize("batches", [(8,), (1, 1, 5)], ids=str)
def test_after_every_step(batches, straight, tmp_path):
    optimizer = "AdamW, accumulating"
    found = interrupted("arrays", optimizer, batches, tmp_path, every="1 step")
    assert found == straight("arrays", optimizer)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_with_any_optimizer(optimizer, straight, tmp_path):
    """In the middle of an epoch, and of a window."""
    assert interrupted("arrays", optimizer, (11,), tmp_path) == straight("arrays", optimizer)


def test_after_the_last_batch_of_an_epoch_of_unknown_length(straight, tmp_path):
    """Only the end of the epoch is left then, with logs as if it had not been interrupted."""
    data, optimizer = "tf.data of unknown length", "AdamW, accumulating"
    with pytest.raises(Interrupted):
        train(data, optimizer, [Closing(epoch=0)], folder=tmp_path, every="7 steps")
    found = train(data, optimizer, [], folder=tmp_path, every="7 steps")
    assert found == straight(data, optimizer)


class Closing(keras.callbacks.Callback):
    """Interrupts at the end of an epoch, before its callbacks are done."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            raise Interrupted


def test_several_steps_per_execution(tmp_path):
    options = {"steps_per_execution": 2}
    whole = train("arrays", "AdamW, accumulating", [], folder=tmp_path / "a", **options)
    found = interrupted("arrays", "AdamW, accumulating", (2, 3), tmp_path / "b", **options)
    assert found == whole


@pytest.mark.parametrize(("before", "after"), [(1, 4), (2, 3)])
def test_another_number_of_steps_per_execution(before, after, straight, tmp_path):
    """No batch is left out or trained on twice, wherever the new executions begin."""
    options = {"every": "1 step", "folder": tmp_path, "steps_per_execution": before}
    with pytest.raises(Interrupted):
        train("arrays", "of Keras", [Interruption(10 // before)], **options)
    found = train("arrays", "of Keras", [], folder=tmp_path, steps_per_execution=after)
    assert found["weights"] == straight("arrays", "of Keras")["weights"]


def test_a_finished_run_stays_finished(tmp_path):
    whole = train("arrays", "schedule-free", [], folder=tmp_path)
    again = train("arrays", "schedule-free", [Interruption(1)], folder=tmp_path)
    assert again == whole  # no batch was trained on


def test_data_that_cannot_save_its_position_says_so(tmp_path):
    with pytest.warns(UserWarning, match="read again and discarded"):
        train("endless tf.data", "AdamW, accumulating", [], folder=tmp_path)


def test_two_replicas(mirrored, tmp_path):
    def run(folder, more):
        keras.utils.set_random_seed(1)
        with mirrored.scope():
            model = model_with(OPTIMIZERS["AdamW, accumulating"]())
        kept = ResumableCheckpoint(folder, every="2 steps")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(X, Y, batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=[*more, kept])
        return [np.array(w).tolist() for w in model.get_weights()]

    whole = run(tmp_path / "a", [])
    with pytest.raises(Interrupted):
        run(tmp_path / "b", [Interruption(10)])
    assert run(tmp_path / "b", []) == whole


class Noise(keras.layers.Layer):
    """Draws from Keras' global generator, as a layer without a seed of its own does."""

    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x))


def test_random_numbers_of_the_global_generator_go_on(tmp_path):
    def run(folder, more):
        keras.utils.clear_session()  # restarts the generator
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input(X.shape[1:]), Noise(), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        kept = ResumableCheckpoint(folder, every="1 step")
        model.fit(X, Y, batch_size=BATCH, epochs=2, verbose=0, callbacks=[kept, *more])
        return model.get_weights()

    expected = run(tmp_path / "straight", [])
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", [Interruption(2)])
    for a, b in zip(run(tmp_path / "cut", []), expected, strict=True):
        np.testing.assert_array_equal(a, b)
