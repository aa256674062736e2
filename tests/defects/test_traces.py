"""TensorFlow traces a train step again that has created variables."""

import keras
import numpy as np
import pytest

from keras_gdx import optimizers
from tests.defects.harness import keras_shows

X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
Y = {"one": X[:, :1], "two": (X[:, 1:2] > 0).astype("float32")}
METRICS = {"one": ["mae"], "two": ["accuracy", "AUC"]}
OPTIMIZERS = {
    "with every state": lambda: optimizers.AdamW(
        use_ema=True, gradient_accumulation_steps=2, state_dtype="int8", skip_nonfinite=True
    ),
    "that copies weights": optimizers.ScheduleFreeAdamW,
    "around one of Keras": lambda: optimizers.Lookahead("adam"),
    "with an outer one": lambda: optimizers.LocalSteps("sgd", outer=optimizers.SGD(momentum=0.9)),
    "in parts": optimizers.Muon,
    "with loss scaling": lambda: optimizers.LossScaleOptimizer(optimizers.AdamW()),
}


@pytest.fixture
def traces(monkeypatch):
    """A function that trains a model with two outputs, and counts the traces of its step."""
    original, traced = keras.Model.train_step, []

    def train_step(self, data):
        traced.append(data)
        return original(self, data)

    def count(optimizer, metrics=METRICS, train=fit):
        inputs = keras.Input((4,))
        hidden = keras.layers.Dropout(0.1)(keras.layers.Dense(3)(inputs))
        outputs = {name: keras.layers.Dense(1, name=name)(hidden) for name in Y}
        model = keras.Model(inputs, outputs)
        model.compile(optimizer(), {"one": "mse", "two": "mse"}, metrics=metrics)
        logs = train(model)
        shown = {"one_mae", "two_accuracy", "two_AUC"} if metrics else set()
        assert {"loss", "one_loss", "two_loss"} | shown == logs.keys()
        return len(traced)

    monkeypatch.setattr(keras.Model, "train_step", train_step)
    return count


def fit(model):
    return model.fit(X, Y, batch_size=4, epochs=2, verbose=0).history


def on_batches(model):
    model.train_on_batch(X, Y)
    return model.train_on_batch(X, Y, return_dict=True)


@pytest.mark.parametrize(
    ("optimizer", "metrics"),
    [(keras.optimizers.SGD, METRICS), (keras.optimizers.Adam, None)],
    ids=["metrics", "state"],
)
def test_keras_traces_a_train_step_twice(optimizer, metrics, traces):
    keras_shows(2, 1, traces, optimizer, metrics)


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_ours_is_traced_once(optimizer, traces):
    assert traces(optimizer) == 1


def test_so_is_that_of_train_on_batch(traces):
    assert traces(optimizers.AdamW, train=on_batches) == 1
