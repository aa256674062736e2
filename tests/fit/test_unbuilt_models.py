"""Callbacks with models that `fit` itself builds."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gdx import callbacks, optimizers

X = np.random.default_rng(0).normal(size=(16, 5)).astype("float32")
Y = np.ones((16, 1), "float32")


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.body, self.head = keras.layers.Dense(4, "relu"), keras.layers.Dense(1)

    def call(self, x):
        return self.head(self.body(x))


def sequential():
    return keras.Sequential([keras.layers.Dense(4, "relu"), keras.layers.Dense(1)])


MAKERS = {
    "ResumableCheckpoint": lambda path: callbacks.ResumableCheckpoint(path),
    "FaultGuard": lambda path: callbacks.FaultGuard(every=1),
    "LearningRateFinder": lambda path: callbacks.LearningRateFinder(steps=4),
    "GradientMonitor": lambda path: callbacks.GradientMonitor((X, Y), every=1),
    "Unfreezing": lambda path: callbacks.Unfreezing({1: "."}),
    "MagnitudePruning": lambda path: callbacks.MagnitudePruning(0.5, end=2, every=1),
    "PlateauController": lambda path: callbacks.PlateauController("loss", rollback=True),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_callback_that_needs_weights_gets_them(name, tmp_path):
    """Training gives the result of a model that was built before."""
    found = []
    for kind, make in (("built", sequential), ("sequential", sequential), ("subclassed", Net)):
        keras.utils.set_random_seed(0)
        model = make()
        if kind == "built":
            model.build((None, 5))
        model.compile(optimizers.AdamW(0.01), "mse")
        callback = MAKERS[name](tmp_path / kind)
        model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[callback], shuffle=False)
        found.append([w.numpy() for w in model.trainable_variables])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


class OnlySteps(keras.Model):
    """As in a GAN: no `call`, and a train step with data of its own form."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.own = optimizers.AdamW(0.01)
        self.mean = keras.metrics.Mean(name="loss")

    def train_step(self, data):
        x = data["features"] if isinstance(data, dict) else data[0]
        y = data["label"] if isinstance(data, dict) else data[3]
        with tf.GradientTape() as tape:
            loss = keras.ops.mean((self.dense(x) - y) ** 2)
        weights = self.dense.trainable_variables
        self.own.apply(tape.gradient(loss, weights), weights)
        self.mean.update_state(loss)
        return {"loss": self.mean.result()}


class Crash(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            raise KeyboardInterrupt


DATA = {"four parts": (X, X, X, Y), "labels inside": {"features": X, "label": Y}}


@pytest.mark.parametrize("data", DATA)
def test_a_train_step_may_use_its_data_in_any_way(data, tmp_path):
    def fit(folder, *more):
        keras.utils.set_random_seed(0)
        model = OnlySteps()
        model.compile()
        kept = callbacks.ResumableCheckpoint(folder, every="1 step")
        batches = tf.data.Dataset.from_tensor_slices(DATA[data]).batch(4)
        model.fit(batches, epochs=2, verbose=0, callbacks=[callbacks.FaultGuard(), kept, *more])
        return [w.numpy() for w in model.variables]

    whole = fit(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "parts", Crash())
    for a, b in zip(fit(tmp_path / "parts"), whole, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_could_not_be_resumed_is_refused_at_the_start(tmp_path):
    class Eager(OnlySteps):
        def train_step(self, data):
            return {"loss": float(super().train_step(data)["loss"])}

    model = Eager()
    model.compile()
    kept = callbacks.ResumableCheckpoint(tmp_path)
    data = tf.data.Dataset.from_tensor_slices(DATA["four parts"]).batch(4)
    with pytest.raises(ValueError, match=r"(?s)needs the weights.*The train step: .*float"):
        model.fit(data, verbose=0, callbacks=[kept])


def test_a_model_that_the_data_cannot_build_is_refused_with_the_reason():
    class Never(Net):
        def call(self, x):
            raise TypeError("not in this way")

    model = Never()
    model.compile(optimizers.AdamW(), "mse")
    with pytest.raises(ValueError, match=r"(?s)FaultGuard needs the weights.*not in this way"):
        model.fit(X, Y, verbose=0, callbacks=[callbacks.FaultGuard()])
