"""Weights that are exactly zero, and equal on all replicas."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_gdx
from keras_gdx.constraints import SoftThreshold
from tests.contract.harness import batches
from tests.declared import refuses_wrong_values


@pytest.mark.parametrize("jit_compile", [True, False])
def test_is_the_proximal_step_of_l1(jit_compile):
    w = np.random.default_rng(0).normal(size=(50, 40)).astype("float32")
    w[0] = 0
    found = tf.function(SoftThreshold(0.5), jit_compile=jit_compile)(tf.constant(w))
    expected = np.sign(w) * np.maximum(np.abs(w) - 0.5, 0)
    np.testing.assert_allclose(found, expected, atol=1e-7)
    assert (np.asarray(found) == 0).mean() > 0.3


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_keeps_the_dtype(dtype):
    assert SoftThreshold(0.1)(keras.Variable([1.0], dtype=dtype)).dtype == dtype


def test_config_round_trip_and_bad_input():
    config = keras.saving.serialize_keras_object(SoftThreshold(0.25))
    again = keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))
    assert again.threshold == 0.25
    refuses_wrong_values(again)


def lasso(strategy, accumulate=None):
    with strategy.scope():
        w = keras.Variable(np.linspace(-1, 1, 4)[:, None], dtype="float32")
        w.constraint = SoftThreshold(0.02)
        optimizer = keras_gdx.optimizers.SGD(0.05, gradient_accumulation_steps=accumulate)
        optimizer.build([w])

    def replica(x):
        with tf.GradientTape() as tape:
            tape.watch(w.value)
            value = tf.reduce_sum((x @ w - x[:, :1]) ** 2) / 16
        optimizer.apply([tape.gradient(value, w.value)], [w])

    @tf.function
    def step(x):
        strategy.run(replica, args=(x,))

    for x, _ in batches(60):
        parts = np.split(x, strategy.num_replicas_in_sync)
        if len(parts) == 1:
            step(tf.constant(x))
        else:
            step(
                strategy.experimental_distribute_values_from_function(
                    lambda context, parts=parts: tf.constant(
                        parts[context.replica_id_in_sync_group]
                    )
                )
            )
    return w.numpy()


def test_two_replicas_find_the_zeros_of_one(mirrored):
    """Only the first input matters; the other weights end at exactly zero."""
    one, two = lasso(tf.distribute.get_strategy()), lasso(mirrored)
    np.testing.assert_allclose(one, two, atol=1e-6)
    assert (one[1:] == 0).all()
    assert (two[1:] == 0).all()
    assert one[0] > 0.5


def test_is_applied_once_per_update_and_not_per_micro_batch():
    w = keras.Variable([1.0])
    w.constraint = SoftThreshold(0.1)
    optimizer = keras_gdx.optimizers.SGD(1.0, gradient_accumulation_steps=4)
    for _ in range(8):
        optimizer.apply([[0.0]], [w])
    np.testing.assert_allclose(w.numpy(), [0.8], rtol=1e-6)


def test_is_saved_with_a_model(tmp_path):
    layer = keras.layers.Dense(1, kernel_constraint=SoftThreshold(0.1))
    net = keras.Sequential([keras.Input((2,)), layer])
    net.compile(keras_gdx.optimizers.SGD(0.0), "mse")
    net.save(tmp_path / "net.keras")
    again = keras.models.load_model(tmp_path / "net.keras")
    before = again.layers[0].kernel.numpy()
    again.train_on_batch(np.zeros((1, 2)), np.zeros((1, 1)))
    np.testing.assert_allclose(
        again.layers[0].kernel.numpy(), SoftThreshold(0.1)(before).numpy(), atol=1e-7
    )
