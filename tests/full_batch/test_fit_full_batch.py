"""`fit_full_batch` finds minima, of exactly the loss that `fit` would have with one batch."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gdx import fit_full_batch
from keras_gdx.datasets import Mnist5k
from keras_gdx.full_batch.ssbfgs import update

METHODS = ("lbfgs", "bfgs", "cg", "trust-krylov", "ssbfgs")
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
def test_logistic_regression_equals_newton(method):
    rows = np.loadtxt(Mnist5k.source(), delimiter=",", dtype=np.uint8)[::10]
    x = (rows[:, :-1] / 255.0).reshape(-1, 4, 7, 4, 7).mean((2, 4)).reshape(len(rows), 16)
    y = (rows[:, -1] >= 5).astype("float64")
    w = np.zeros(16)
    for _ in range(20):
        p = 1 / (1 + np.exp(-x @ w))
        gradient = x.T @ (p - y) / len(x) + 2**-9 * w
        hessian = (x.T * (p * (1 - p))) @ x / len(x) + 2**-9 * np.eye(16)
        w = w - np.linalg.solve(hessian, gradient)
    layer = keras.layers.Dense(
        1, use_bias=False, kernel_regularizer=keras.regularizers.L2(2**-10), dtype="float64"
    )
    model = keras.Sequential([keras.Input((16,), dtype="float64"), layer])
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    result = fit(model, x, y[:, None], loss=loss, method=method, gradient_tolerance=1e-10)
    assert result.gradient_norm <= 1e-10, result
    error = np.linalg.norm(model.get_weights()[0].ravel() - w)
    assert error <= 2**9 * result.gradient_norm + 1e-12  # the penalty's curvature is 2 ** -9


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["sum", "mean", "mean_with_sample_weight"])
def test_batches_equal_one_batch(reduction, weighted):
    losses = []
    for batch_size in (None, 20):
        keras.utils.set_random_seed(0)
        model = dense(kernel_regularizer="l2", activity_regularizer=keras.regularizers.L2(0.1))
        loss = keras.losses.MeanSquaredError(reduction=reduction)
        weight = np.arange(50.0) if weighted else None
        data = {"sample_weight": weight, "batch_size": batch_size}
        losses.append(fit(model, X, Y, loss=loss, max_iterations=3, **data).loss)
    assert losses[1] == pytest.approx(losses[0], rel=1e-12)


def test_loss_is_that_of_a_train_step():
    inputs = keras.Input((3,))
    outputs = [keras.layers.Dense(2, name=n, kernel_regularizer="l2")(inputs) for n in "ab"]
    model = keras.Model(inputs, outputs)
    model.compile("sgd", {"a": "mse", "b": "mae"}, loss_weights={"a": 0.3, "b": 2.0})
    weight = np.arange(50.0)
    expected = model.evaluate(X, [Y, Y], sample_weight=[weight, weight], batch_size=50, verbose=0)
    before = model.get_weights()
    history = fit_full_batch(
        model,
        X,
        [Y, Y],
        sample_weight=[weight, weight],
        max_iterations=1,
        method="gd",
        learning_rate=1e-12,
        verbose=0,
    )
    assert history.result.loss == pytest.approx(expected[0], rel=1e-6)
    np.testing.assert_allclose(model.get_weights()[0], before[0], atol=1e-6)


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


def test_self_scaled_update_is_the_inverse_of_the_scaled_hessian():
    """Al-Baali's form of the Hessian itself: `tau (B - B s s' B / s' B s) + y y' / y' s`."""
    A = rng.normal(size=(4, 4))
    B, s, tau = A @ A.T + np.eye(4), rng.normal(size=4), 0.4
    y = B @ s + 0.1 * s
    scaled = tau * (B - np.outer(B @ s, B @ s) / (s @ B @ s)) + np.outer(y, y) / (y @ s)
    H = np.linalg.inv(B)
    update(H, s, y, tau)
    np.testing.assert_allclose(H, np.linalg.inv(scaled), atol=1e-12)


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
