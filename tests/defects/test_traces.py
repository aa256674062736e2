"""TensorFlow traces a train step again that has created variables."""

import keras
import numpy as np
import pytest
import tensorflow as tf

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


class Counted(keras.Model):
    traces = 0

    def train_step(self, data):
        self.traces += 1
        return super().train_step(data)


def traces(optimizer, metrics=METRICS):
    """How often `fit` traces the train step of a model with two outputs."""
    inputs = keras.Input((4,))
    hidden = keras.layers.Dropout(0.1)(keras.layers.Dense(3)(inputs))
    outputs = {name: keras.layers.Dense(1, name=name)(hidden) for name in Y}
    model = Counted(inputs, outputs)
    model.compile(optimizer(), {"one": "mse", "two": "mse"}, metrics=metrics)
    history = model.fit(X, Y, batch_size=4, epochs=2, verbose=0).history
    shown = {"one_mae", "two_accuracy", "two_AUC"} if metrics else set()
    assert {"loss", "one_loss", "two_loss"} | shown == history.keys()
    return model.traces


@pytest.mark.parametrize(
    ("optimizer", "metrics"),
    [(keras.optimizers.SGD, METRICS), (keras.optimizers.Adam, None)],
    ids=["metrics", "state"],
)
def test_keras_traces_a_train_step_twice(optimizer, metrics):
    keras_shows(2, 1, traces, optimizer, metrics)


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_ours_is_traced_once(optimizer):
    assert traces(optimizer) == 1


def test_a_step_of_ones_own_is_traced_once():
    w, optimizer = keras.Variable(np.ones(4)), optimizers.AdamW(use_ema=True)
    traced = []

    @tf.function
    def step(gradient):
        traced.append(gradient)
        optimizer.apply([gradient], [w])

    for _ in range(2):
        step(tf.ones(4))
    assert len(traced) == 1
