"""Custom training loops, Keras' containers of optimizers, and export."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_gdx
from tests.contract.harness import batches, loss, variables
from tests.contract.rules import first_rules, make

DATA = list(batches(4))


def trained(optimizer, gradient_of):
    """A plain loop: batches, loss, gradients, `apply_gradients`; step one creates the state."""
    model = variables()

    @tf.function
    def step(x, y):
        grads = gradient_of(lambda: loss(model, x, y) / len(x), [v.value for v in model])
        optimizer.apply_gradients(zip(grads, model, strict=True))

    for x, y in DATA:
        step(tf.constant(x), tf.constant(y))
    return np.concatenate([v.numpy().ravel() for v in model])


def by_tape(objective, sources):
    with tf.GradientTape() as tape:
        value = objective()
    return tape.gradient(value, sources)


def by_gradients(objective, sources):
    return tf.gradients(objective(), sources)


@first_rules
def test_tf_gradients_in_a_function_equals_a_tape(rule):
    first = trained(make(rule), by_gradients)
    assert np.abs(first - trained(keras_gdx.optimizers.SGD(0.0), by_tape)).max() > 1e-3
    np.testing.assert_allclose(first, trained(make(rule), by_tape), rtol=1e-6, atol=1e-7)


@first_rules
def test_inside_a_multi_optimizer(rule):
    if not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip("this Keras has none")
    x, y = next(batches(1, 64))
    weights = []
    for several in (True, False):
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Dense(8, "tanh", name="a"), keras.layers.Dense(1, name="b")]
        net = keras.Sequential([keras.Input((4,)), *layers])
        optimizer = keras_gdx.optimizers.SGD(0.02)
        if several:
            parts = {"b/.*": keras_gdx.optimizers.SGD(0.02)}
            chosen = keras.optimizers.OptimizerMap(make(rule), parts)
            optimizer = keras.optimizers.MultiOptimizer(chosen)
        net.compile(optimizer, "mse")
        net.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
        weights.append(net.get_weights())
    assert np.isfinite(np.concatenate([w.ravel() for w in weights[0]])).all()
    assert (weights[0][0] != weights[1][0]).any() or rule == "sgd"


@first_rules
def test_a_compiled_model_is_saved_as_a_saved_model(rule, tmp_path):
    x, y = next(batches(1, 16))
    net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    net.compile(make(rule, gradient_accumulation_steps=2), "mse")
    net.fit(x, y, verbose=0)
    expected = net.predict(x, verbose=0)
    tf.saved_model.save(net, str(tmp_path / "saved"))
    net.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(exported.serve(x), expected, rtol=1e-5, atol=1e-6)
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    answer = loaded.signatures["serving_default"](tf.constant(x))
    np.testing.assert_allclose(next(iter(answer.values())), expected, rtol=1e-5, atol=1e-6)
