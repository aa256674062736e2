"""Regularizers that need to know what they are attached to."""

from itertools import pairwise

import keras
import numpy as np
import pytest

import keras_gdx
from keras_gdx import regularizers, schedules

X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")


def network():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(4, name="a"), keras.layers.BatchNormalization(name="norm")]
    net = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(2, name="b")])
    net.compile(keras_gdx.optimizers.SGD(0.1), "mse")
    return net


def test_l2_sp_starts_where_each_variable_is_and_is_saved_with_it(tmp_path):
    net = network()
    paths = regularizers.apply(net, regularizers.L2SP(0.5))
    assert len(paths) == 2
    starts = [v.numpy() for v in net.trainable_variables if v.path in paths]
    assert float(sum(net.losses)) == 0
    net.fit(X, np.ones((16, 2)), epochs=2, verbose=0)
    ends = [v.numpy() for v in net.trainable_variables if v.path in paths]
    expected = 0.5 * sum(((a - b) ** 2).sum() for a, b in zip(starts, ends, strict=True))
    assert expected > 1e-3
    np.testing.assert_allclose(float(sum(net.losses)), expected, rtol=1e-5)
    net.save(tmp_path / "net.keras")
    again = keras.models.load_model(tmp_path / "net.keras")
    np.testing.assert_allclose(float(sum(again.losses)), expected, rtol=1e-5)


def test_slimming_finds_the_scales_of_batch_normalisation():
    net = network()
    net.add(keras.layers.LayerNormalization())
    net.build((None, 4))
    net.compile("sgd", "mse")
    assert regularizers.apply(net, regularizers.Slimming(0.1)) == [f"{net.name}/norm/gamma"]
    assert regularizers.apply(net, regularizers.Slimming(0.1), include="a/kernel") == [
        f"{net.name}/a/kernel"
    ]


def strengths(net, epochs, **options):
    """The penalty after each epoch, divided by that at full strength."""
    found = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            kernel = self.model.get_layer("a").kernel
            found.append(float(sum(self.model.losses)) / float(regularizers.L2(1.0)(kernel)))

    net.fit(X, np.ones((16, 2)), epochs=epochs, verbose=0, callbacks=[Watch()], **options)
    return found


@pytest.mark.parametrize("make", [keras.optimizers.SGD, keras_gdx.optimizers.SGD])
@pytest.mark.parametrize("jit_compile", [True, False])
def test_scheduled_follows_the_updates_of_the_optimizer(make, jit_compile, tmp_path):
    net = network()
    net.compile(make(0.01), "mse", jit_compile=jit_compile)
    decaying = regularizers.Scheduled(regularizers.L2(1.0), schedules.Linear(1.0, 4))
    regularizers.apply(net, decaying, include="a/kernel")
    np.testing.assert_allclose(strengths(net, 2), [0.75, 0.5], rtol=1e-5)
    net.save(tmp_path / "net.keras")
    again = keras.models.load_model(tmp_path / "net.keras")
    found = strengths(again, 4, initial_epoch=2)
    np.testing.assert_allclose(found, [0.25, 0.0], rtol=1e-5)


def deferred(regularizer):
    """A model that has no variables before it receives data."""

    class Late(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            options = {"use_bias": False, "kernel_initializer": "ones"}
            self.parts = {"b": keras.layers.Dense(1, kernel_regularizer=regularizer, **options)}

        def call(self, x):
            return self.parts["b"](x)

    return keras.Sequential([keras.layers.Flatten(), Late()])


@pytest.mark.parametrize("make", [keras.optimizers.SGD, keras_gdx.optimizers.SGD])
@pytest.mark.parametrize("way", ["fit", "train_on_batch", "evaluated before", "layers added"])
def test_scheduled_in_a_model_that_is_not_built_when_compiled(make, way):
    half = regularizers.Scheduled(regularizers.L2(0.5), schedules.Constant(2.0))
    penalty = regularizers.Scheduled(half, schedules.Linear(1.0, 4))
    zeros = np.zeros((2, 4)), np.zeros((2, 1))
    net = keras.Sequential() if way == "layers added" else deferred(penalty)
    net.compile(make(0.0), "mse")
    if way == "layers added":
        net.add(deferred(penalty))
    if way == "evaluated before":
        assert net.evaluate(*zeros, verbose=0) == 4
    if way == "train_on_batch":
        found = [float(net.train_on_batch(*zeros)) for _ in range(5)]
    else:
        found = net.fit(*zeros, batch_size=2, epochs=5, verbose=0).history["loss"]
    np.testing.assert_allclose(found, [4, 3, 2, 1, 0], atol=1e-6)


def test_scheduled_of_outputs():
    penalty = regularizers.Scheduled(regularizers.L2(1.0), schedules.Linear(1.0, 4))
    net = keras.Sequential([keras.layers.Activation("linear", activity_regularizer=penalty)])
    net.add(keras.layers.Dense(1))
    net.compile(keras.optimizers.SGD(0.0), lambda y, outputs: 0.0 * outputs)
    found = net.fit(np.ones((2, 4)), np.zeros((2, 1)), epochs=5, verbose=0).history["loss"]
    np.testing.assert_allclose(found, [4, 3, 2, 1, 0], atol=1e-6)


def test_scheduled_counts_inside_the_compiled_step():
    """The gradient has the strength of its update, not that of the trace."""
    moved = []
    for strength in (1.0, schedules.Linear(1.0, 4)):
        net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, use_bias=False)])
        net.compile(keras_gdx.optimizers.SGD(0.1), "mse")
        penalty = regularizers.L2(1.0)
        if strength != 1.0:
            penalty = regularizers.Scheduled(penalty, strength)
        regularizers.apply(net, penalty)
        weights = []
        for _ in range(6):
            weights.append(net.get_weights()[0].copy())
            net.train_on_batch(np.zeros((2, 4)), np.zeros((2, 1)))
        moved.append([1 - b[0, 0] / a[0, 0] for a, b in pairwise(weights)])
    np.testing.assert_allclose(moved[0], [0.2] * 5, rtol=1e-4)
    np.testing.assert_allclose(moved[1], [0.2, 0.15, 0.1, 0.05, 0.0], rtol=1e-4, atol=1e-6)
