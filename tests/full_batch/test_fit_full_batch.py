"""`fit_full_batch` finds minima, of exactly the loss that `fit` would have with one batch."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from scipy.optimize import line_search, rosen, rosen_der

from keras_gdx import fit_full_batch, regularizers
from keras_gdx.datasets import Mnist5k
from keras_gdx.full_batch.run import Stop
from keras_gdx.full_batch.ssbfgs import self_scaled_bfgs
from tests.full_batch import scikit_learn

METHODS = ("lbfgs", "bfgs", "cg", "trust-krylov", "ssbfgs")
VERSION = tuple(int(n) for n in keras.__version__.split(".")[:2])
rng = np.random.default_rng(0)
X, Y = rng.normal(size=(50, 3)), rng.normal(size=(50, 2))


class Rosenbrock(keras.Model):
    def __init__(self):
        super().__init__()
        start = keras.initializers.Constant(-1.2)
        self.w = self.add_weight(shape=(2,), initializer=start, dtype="float64")

    def call(self, x):
        return x

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        a, b = self.w[0], self.w[1]
        return (1 - a) ** 2 + 100 * (b - a**2) ** 2


def dense(**options):
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, **options)])


def fit(model, *data, **options):
    options = {"dtype": "float64", "verbose": 0, "loss": "mse"} | options
    return fit_full_batch(model, *data, **options).result


@pytest.mark.parametrize("method", METHODS)
def test_rosenbrock(method):
    model = Rosenbrock()
    result = fit(model, np.zeros((1, 1)), loss=None, method=method, gradient_tolerance=1e-12)
    assert result.converged, result.reason
    np.testing.assert_allclose(model.w.numpy(), 1, rtol=0, atol=1e-12)


@pytest.mark.skipif(Mnist5k.source() is None, reason=Mnist5k.INSTALL)
@pytest.mark.parametrize("method", METHODS[::2] + METHODS[3:4])
def test_logistic_regression_equals_scikit_learn(method):
    x, y = scikit_learn.digits()
    penalty = keras.regularizers.L2(0.5 / len(x))  # a power of 2: Keras keeps it in float32
    layer = keras.layers.Dense(10, kernel_regularizer=penalty, dtype="float64")
    model = keras.Sequential([keras.Input((16,), dtype="float64"), layer])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    result = fit(model, x, y, loss=loss, method=method, gradient_tolerance=1e-10)
    assert result.gradient_norm <= 1e-10, result
    with np.load(scikit_learn.FILE) as theirs:  # the curvature is at least that of the penalty
        error = np.linalg.norm(layer.kernel.numpy() - theirs["coefficients"])
        assert error <= len(x) * result.gradient_norm
        bias = layer.bias.numpy() - np.mean(layer.bias)
        np.testing.assert_allclose(bias, theirs["intercepts"], rtol=0, atol=1e-7)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["sum", "mean", "mean_with_sample_weight"])
def test_batches_equal_one_batch(reduction, weighted):
    losses = []
    for batch_size in (None, 20):
        keras.utils.set_random_seed(0)
        activity = None if VERSION < (3, 14) else keras.regularizers.L2(0.1)  # a sum before
        model = dense(kernel_regularizer="l2", activity_regularizer=activity)
        loss = keras.losses.MeanSquaredError(reduction=reduction)
        weight = np.arange(50.0) if weighted else None
        data = {"sample_weight": weight, "batch_size": batch_size}
        losses.append(fit(model, X, Y, loss=loss, max_iterations=3, **data).loss)
    assert losses[1] == pytest.approx(losses[0], rel=1e-12)


def test_loss_is_that_of_a_train_step():
    inputs = keras.Input((3,))
    penalty = keras.regularizers.L2(2**-7)
    outputs = [keras.layers.Dense(2, name=n, kernel_regularizer=penalty) for n in "ab"]
    model = keras.Model(inputs, [layer(inputs) for layer in outputs])
    model.compile("sgd", {"a": "mse", "b": "mae"}, loss_weights={"a": 0.25, "b": 2.0})
    a, b = (layer.kernel.numpy().astype("float64") for layer in outputs)
    weight = np.arange(50.0)
    expected = 0.25 * np.mean(weight * np.mean((X @ a - Y) ** 2, axis=1))
    expected += 2 * np.mean(abs(X @ b - Y)) + 2**-7 * (np.sum(a**2) + np.sum(b**2))
    data = {"sample_weight": [weight, np.ones(50)], "loss": None}
    result = fit(model, X, [Y, Y], **data, method="gd", learning_rate=1e-15, max_iterations=1)
    assert result.loss == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(outputs[0].kernel.numpy(), a, atol=1e-6)


class Penalized(keras.layers.Layer):
    supports_masking = True

    def call(self, x):
        self.add_loss(ops.mean(x**2))
        return x


def test_batches_and_replicas_equal_one_batch_with_masks_and_added_losses(mirrored):
    tokens, targets = rng.integers(0, 3, size=(51, 4)), rng.normal(size=(51, 4, 1))
    models, losses = [], []
    for strategy, batch_size in (None, None), (None, 20), (mirrored, 50):
        keras.utils.set_random_seed(0)
        with (strategy or tf.distribute.get_strategy()).scope():
            embedding = keras.layers.Embedding(3, 2, mask_zero=True)
            layers = [embedding, Penalized(), keras.layers.Dense(1)]
            model = keras.Sequential([keras.Input((4,), dtype="int32"), *layers])
        models.append(model)
        gd = {"method": "gd", "learning_rate": 0.5, "max_iterations": 2}
        losses.append(fit(model, tokens, targets, batch_size=batch_size, **gd).loss)
    exact = 1e-12 if VERSION > (3, 12) else 1e-7  # 3.12 adds 1e-7 to the number of tokens
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=exact)
    models[0].compile("sgd", "mse")
    whole = models[0].evaluate(tokens, targets, batch_size=51, verbose=0)
    assert losses[0] == pytest.approx(whole, rel=1e-5)


class Slices(keras.utils.PyDataset):
    @property
    def num_batches(self):
        return 3

    def __getitem__(self, index):
        part = slice(20 * index, 20 * index + 20)
        return X[part], Y[part]


def test_penalties_on_derivatives_are_those_of_the_weights_that_are_tried():
    model = dense(activation="tanh")
    model.compile("sgd", "mse")
    regularizers.apply(model, regularizers.GradientPenalty(0.5))
    result = fit(model, X, Y, loss=None, max_iterations=2)
    logged = model.fit(X, Y, batch_size=50, verbose=0).history["loss"][0]
    assert result.loss == pytest.approx(logged, rel=1e-5)


@pytest.mark.parametrize("kind", ["PyDataset", "tf.data"])
def test_data_sets_of_batches(kind):
    whole = tf.data.Dataset.from_tensor_slices((X, Y))
    batches = Slices() if kind == "PyDataset" else whole.batch(20)
    model = dense()
    assert fit(model, batches).converged
    solution = np.linalg.lstsq(np.c_[X, np.ones(50)], Y, rcond=None)[0]
    np.testing.assert_allclose(np.vstack(model.get_weights()), solution, atol=1e-5)


def test_xla():
    results = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(0)
        model = dense(activation="tanh")
        model.compile("sgd", "mse", jit_compile=jit_compile)
        results.append(fit(model, X, Y, max_iterations=2, method="trust-krylov").loss)
    assert results[0] == pytest.approx(results[1], rel=1e-12)
    with pytest.raises(tf.errors.InvalidArgumentError, match="XLA"):
        fit(
            model,
            X,
            Y,
            loss=lambda y, z: tf.reshape(tf.py_function(ops.abs, [z], z.dtype), (50, 2)),
        )


def test_frozen_weights_stay_and_policies_return():
    model = dense(activation="tanh")
    model.add(keras.layers.Dense(2))
    model.layers[0].trainable = False
    before = model.get_weights()
    result = fit(model, X, Y)
    assert result.converged, result.reason
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    assert {v.dtype for v in model.weights} == {"float32"}
    assert model.layers[0].dtype_policy.name == keras.config.floatx() == "float32"
    assert keras.losses.MeanSquaredError().dtype == "float32"


def test_nonnegative_weights():
    model = dense(kernel_constraint="non_neg")
    result = fit(model, X, X[:, :2] * [1.0, -1.0])
    assert result.converged, result.reason
    np.testing.assert_allclose(model.get_weights()[0], [[1, 0], [0, 0], [0, 0]], atol=0.3)
    assert model.get_weights()[0].min() == 0
    with pytest.raises(ValueError, match="`method` must be 'lbfgs'"):
        fit(model, X, Y, method="cg")


@pytest.mark.parametrize("rate", [None, 0.1])
def test_gradient_descent(rate):
    model = dense()
    assert fit(model, X, Y, method="gd", learning_rate=rate).converged
    solution = np.linalg.lstsq(np.c_[X, np.ones(50)], Y, rcond=None)[0]
    np.testing.assert_allclose(np.vstack(model.get_weights()), solution, atol=1e-5)


class Valley:
    """Rosenbrock's function as a solver sees it, for 25 iterations."""

    def __init__(self):
        self.path = []

    def __call__(self, w):
        return rosen(w), rosen_der(w)

    def iterated(self, w):
        self.path.append(w)
        if len(self.path) == 25:
            raise Stop


def test_self_scaled_bfgs_is_that_of_the_paper():
    """With Al-Baali's update of the Hessian itself, where ours has its inverse."""
    w, valley = np.array([-1.2, 1.0, -0.5, 0.8]), Valley()
    with pytest.raises(Stop):
        self_scaled_bfgs(valley, w)
    B, g, before, scales = np.eye(4), rosen_der(w), None, []
    for expected in valley.path:
        p = -np.linalg.solve(B, g)
        alpha = line_search(rosen, rosen_der, w, p, g, rosen(w), before, maxiter=20)[0]
        before, s = rosen(w), alpha * p
        w = w + s
        np.testing.assert_allclose(w, expected, rtol=1e-6)
        g, y = rosen_der(w), rosen_der(w) - g
        if len(scales) == 0:
            B = (y @ y) / (y @ s) * np.eye(4)
        scales.append(min(1.0, (y @ s) / (s @ B @ s)) if scales else 1.0)
        B = scales[-1] * (B - np.outer(B @ s, B @ s) / (s @ B @ s)) + np.outer(y, y) / (y @ s)
    assert 0 < min(scales) < 0.5 < max(scales) == 1


class Ends(keras.callbacks.Callback):
    def __init__(self, end):
        super().__init__()
        self.end, self.logs = end, []

    def on_epoch_end(self, epoch, logs=None):
        self.logs.append(logs)
        if epoch == 2:
            self.end(self.model)


def interrupt(model):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("end", "reason"),
    [(lambda m: setattr(m, "stop_training", True), "a callback"), (interrupt, "interrupted")],
)
def test_ends_early_with_the_best_weights(end, reason):
    model, callback = dense(), Ends(end)
    result = fit(model, X, Y, callbacks=[callback], method="gd")
    assert reason in result.reason
    assert not result.converged
    assert {"loss", "gradient_norm"} == {*callback.logs[0]}
    assert result.loss == min(logs["loss"] for logs in callback.logs) == callback.logs[2]["loss"]
    assert np.mean((model.predict(X, verbose=0) - Y) ** 2) == pytest.approx(result.loss, rel=1e-5)


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ({"max_iterations": 2}, "max_iterations=2"),
        ({"time_budget": 1e-9}, "time budget"),
        ({"loss_tolerance": 0.5}, "loss_tolerance=0.5"),
        ({"gradient_tolerance": 1e9}, "gradient_tolerance=1e"),
    ],
)
def test_reason_for_ending(limit, reason):
    assert reason in fit(dense(), X, Y, **limit).reason


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"method": "newton"}, "method"),
        ({"learning_rate": 0.1}, "learning_rate"),
        ({"batch_size": 0}, "batch_size"),
        ({"dtype": "float16"}, "dtype"),
        ({"loss": None}, "loss"),
        ({"y": Y[:9]}, "x"),
        ({"x": X * np.nan}, "not finite"),
        ({"x": tf.data.Dataset.from_tensors((X, Y)).repeat(), "y": None}, "`x` must be finite"),
        ({"options": {"maxcore": 5}}, "options"),
    ],
)
def test_bad_input(wrong, name):
    model = dense()
    before = model.get_weights()
    with pytest.raises(ValueError, match=name):
        fit(model, **({"x": X, "y": Y} | wrong))
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_statistics_move_and_masks_of_dropout_stay():
    layers = [keras.layers.BatchNormalization(), keras.layers.Dropout(0.5), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    assert fit(model, X + 5, Y).converged
    assert ops.min(layers[0].moving_mean) > 0


def test_every_example_has_its_own_mask_of_dropout():
    layers = [keras.layers.Dropout(0.5), keras.layers.Dense(1, kernel_initializer="normal")]
    model = keras.Sequential([keras.Input((64,)), *layers])
    difference = {"y": np.array([[1.0], [-1.0]]), "loss": lambda y, z: y * z}
    limits = {"method": "gd", "learning_rate": 1e-12, "max_iterations": 1}
    assert fit(model, np.ones((2, 64)), **difference, **limits, batch_size=1).loss != 0


def test_without_scipy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match="full-batch"):
        fit(dense(), X, Y)
    assert fit(dense(), X, Y, method="gd").converged
