"""Interrupted on n replicas and resumed on m equals one uninterrupted device."""

import warnings
from itertools import cycle, product

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gdx import distribute, optimizers
from keras_gdx.callbacks import ResumableCheckpoint
from tests.matrix import WHOLE_MATRIX
from tests.resume.test_positions import Interrupted, Interruption

X = np.random.default_rng(0).normal(size=(50, 64)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")
EPOCHS = 2
WAYS = ["to one", "to two"]
WINDOW = {"gradient_accumulation_steps": 3}
OPTIMIZERS = {
    "accumulating": lambda: optimizers.AdamW(0.01, use_ema=True, **WINDOW),
    "in pieces": lambda: optimizers.AdamW(0.01, use_ema=True, shard_state=True, **WINDOW),
    "in stacks": lambda: optimizers.Muon(0.01, shard_state=True, **WINDOW),
    "eight bits": lambda: optimizers.Adam(0.01, state_dtype="int8", shard_state=True),
    "copies of weights": lambda: optimizers.ScheduleFreeAdamW(0.01, shard_state=True),
    "around another": lambda: optimizers.Lookahead(optimizers.SGD(0.1, momentum=0.9)),
    "with a part": lambda: optimizers.ScheduleFree(optimizers.Adam(0.01, beta_1=0.0)),
    "local steps": lambda: optimizers.LocalSteps(optimizers.SGD(0.1, **WINDOW), sync_period=1),
    "without state": lambda: optimizers.SGD(0.1),
    "loss scaling": lambda: keras.optimizers.LossScaleOptimizer(optimizers.Lion(1e-3)),
    "of Keras": lambda: keras.optimizers.Adam(0.01),
    "of Keras, accumulating": lambda: keras.optimizers.SGD(0.1, **WINDOW),
}


def arrays():
    return {"x": X, "y": Y, "batch_size": 8}


def pipeline():
    # shuffled anew in each epoch, `fit` on replicas has another order than on one device
    data = tf.data.Dataset.from_tensor_slices((X, Y))
    return {"x": data.shuffle(50, seed=4, reshuffle_each_iteration=False).batch(8)}


def train(optimizer, folder, strategy=None, data=arrays, callbacks=()):
    keras.utils.set_random_seed(1)
    with (strategy or tf.distribute.get_strategy()).scope():
        hidden = [keras.layers.Dense(64, "tanh") for _ in range(2)]
        model = keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(1, "sigmoid")])
        model.compile(OPTIMIZERS[optimizer](), "binary_crossentropy", metrics=["accuracy", "AUC"])
    distribute.prepare(model)
    kept = ResumableCheckpoint(folder, every="4 steps")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This data cannot save its position")
        warnings.filterwarnings("ignore", ".*shuffle=True")
        history = model.fit(**data(), epochs=EPOCHS, verbose=0, callbacks=[*callbacks, kept])
    return model, history.history


def interrupted(optimizer, folder, before, after, batches=5, data=arrays):
    with pytest.raises(Interrupted):
        train(optimizer, folder, before, data, [Interruption(batches)])
    with pytest.warns(UserWarning, match="goes on as one device would"):
        return train(optimizer, folder, after, data)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    known = {}

    def run(optimizer, data=arrays):
        if (optimizer, data) not in known:
            known[optimizer, data] = train(
                optimizer, tmp_path_factory.mktemp("straight"), data=data
            )
        return known[optimizer, data]

    return run


def assert_same(found, expected, atol=1e-5):
    (model, history), (other, straight) = found, expected
    for mine, its in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(mine, its, atol=atol)
    for name, values in straight.items():
        np.testing.assert_allclose(history[name], values, rtol=atol, err_msg=name)
    assert model.optimizer.iterations.numpy() == other.optimizer.iterations.numpy()


@pytest.mark.parametrize(
    ("optimizer", "way"),
    [*(product(OPTIMIZERS, WAYS) if WHOLE_MATRIX else zip(OPTIMIZERS, cycle(WAYS)))],
)
def test_on_other_replicas(optimizer, way, straight, mirrored, tmp_path):
    """In the middle of an epoch, and of a window."""
    before, after = (mirrored, None) if way == "to one" else (None, mirrored)
    found, expected = interrupted(optimizer, tmp_path, before, after), straight(optimizer)
    assert_same(found, expected, 2e-3 if optimizer == "eight bits" else 1e-5)  # one code apart


@pytest.mark.parametrize("way", WAYS)
def test_with_pipelines(way, straight, mirrored, tmp_path):
    before, after = (mirrored, None) if way == "to one" else (None, mirrored)
    found = interrupted("accumulating", tmp_path, before, after, data=pipeline)
    assert_same(found, straight("accumulating", pipeline))


def test_in_an_epoch_of_other_batches(tmp_path):
    with pytest.raises(Interrupted):
        train("accumulating", tmp_path, callbacks=[Interruption(5)])
    with pytest.raises(ValueError, match="num_batches` was 7, now 4"):
        train("accumulating", tmp_path, data=lambda: arrays() | {"batch_size": 16})


def test_of_another_model(mirrored, tmp_path):
    """Model and optimizer are unchanged by the error."""
    with pytest.raises(Interrupted):
        train("in stacks", tmp_path, mirrored, callbacks=[Interruption(5)])
    begin = Begin()
    with pytest.raises(ValueError, match="with another model or optimizer"):
        train("in pieces", tmp_path, callbacks=[begin])
    for now, before in zip(begin.values(), begin.before, strict=True):
        np.testing.assert_array_equal(now, before)


class Begin(keras.callbacks.Callback):
    def set_model(self, model):
        super().set_model(model)
        self.before = self.values()

    def values(self):
        self.model.optimizer.build(self.model.trainable_variables)
        return [v.numpy() for v in (*self.model.variables, *self.model.optimizer.variables)]
