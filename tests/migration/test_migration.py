"""Each row of docs/migrate says the truth: what it writes does what the other library did."""

import inspect
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_gdx
from keras_gdx.migration.script import changes
from tests.migration.problem import GRADIENTS, RATES, ROWS, UPDATES, WEIGHTS, is_sparse

RECORDED = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in Path(__file__).parent.glob("*.json")
}
VALUES = {call: x for each in RECORDED.values() for call, x in each["values"].items()}
IMPORTS = "import keras\nimport optax\nimport tensorflow_addons as tfa\nimport torch\n"


class Weights(keras.layers.Layer):
    """A weight, with the gradient that a batch brings."""

    def __init__(self, name):
        super().__init__(name=name)
        start = keras.initializers.Constant(WEIGHTS[name])
        self.weight = self.add_weight(WEIGHTS[name].shape, start, name="weight")

    def call(self, gradients):
        return keras.ops.sum(gradients * self.weight)


def written(call):
    """What is to be written here, as an object."""
    (change,) = changes(IMPORTS + call)
    assert change.new, change
    assert not set(change.lost) - {"optimizer"}
    layers = {name: Weights(name) for name in WEIGHTS}
    return eval(change.new, {"keras_gdx": keras_gdx, "keras": keras, "layers": layers}), layers


def run(made, layers, call):
    if isinstance(made, keras.optimizers.schedules.LearningRateSchedule):
        return np.array([float(made(t)) for t in range(RATES)])
    variables = [layer.weight for layer in layers.values()]
    optimizer = keras_gdx.optimizers.SGD(0.125) if isinstance(made, keras.callbacks.Callback) else made
    if optimizer is not made:
        return fitted(optimizer, layers, made)
    for t in range(UPDATES):
        gradients = {name: tf.constant(g[t]) for name, g in GRADIENTS.items()}
        if is_sparse(call):
            rows = tf.gather(gradients["kernel"], ROWS)
            gradients["kernel"] = tf.IndexedSlices(rows, tf.constant(ROWS), (4, 3))
        made.apply(list(gradients.values()), variables)
    with made.evaluation_weights():
        return flat(variables)


def fitted(optimizer, layers, callback):
    """The weights after a `fit` whose batches have the same gradients."""
    inputs = {name: keras.Input(w.shape, name=name) for name, w in WEIGHTS.items()}
    loss = sum(layers[name](x) for name, x in inputs.items())
    model = keras.Model(inputs, loss)
    model.compile(optimizer, lambda y, loss: loss)
    options = {"batch_size": 1, "shuffle": False, "verbose": 0}
    model.fit(GRADIENTS, np.zeros(UPDATES), callbacks=[callback], **options)
    return flat(layer.weight for layer in layers.values())


def flat(variables):
    return np.concatenate([np.ravel(v.numpy()) for v in variables])


@pytest.mark.parametrize("call", VALUES)
def test_what_is_written_here_does_the_same(call):
    found = run(*written(call), call)
    np.testing.assert_allclose(found, VALUES[call], rtol=2e-5, atol=2e-6)
