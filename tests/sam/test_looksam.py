"""LookSAM: what it adds to SAM, whose mechanism `test_sam.py` tests."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import Input, layers

import keras_gdx
from keras_gdx import SAM, LookSAM, optimizers
from keras_gdx.callbacks import ResumableCheckpoint
from keras_gdx.integration.kept_direction import direction_of
from keras_gdx.sharpness.ascent import PeriodicAscent
from tests.reference.sam import trajectory
from tests.sam import test_sam
from tests.sam.test_sam import (
    CHANCE,
    RATE,
    SLOPES,
    TOKENS,
    UNEVEN,
    Interrupt,
    OneHot,
    OwnStep,
    Subclassed,
    X,
    Y,
    adam,
    assert_close,
    deep,
    functional,
    linear,
    noisy,
    normed,
    sgd,
)

trained = partial(test_sam.trained, extend=LookSAM)
THIRD = (0.5, 3)  # a second gradient in the steps 0, 3, ...


# -- the paper -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "options", "adaptive"),
    [
        (linear, {"jit_compile": True}, False),
        (functional, {"jit_compile": False}, True),
        (Subclassed, {"run_eagerly": True}, False),
        (OwnStep, {"jit_compile": False, "optimizer": lambda: optimizers.SGD(RATE)}, False),
        (functional, {"jit_compile": False, "steps_per_execution": 4}, False),
    ],
)
def test_takes_the_steps_of_the_paper(make, options, adaptive):
    start = trained(make, epochs=0, **options)[0]
    settings = {"k": 4, "alpha": 0.6, "adaptive": adaptive}
    *_, expected = trajectory(start, SLOPES, learning_rate=RATE, rho=0.5, **settings)
    found = trained(make, (0.5, *settings.values()), **options)
    for a, b in zip(found[0], expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_float64_is_not_rounded():
    def wide():
        return keras.Sequential([Input((3,)), layers.Dense(2, dtype="float64")])

    start = trained(wide, epochs=0)[0]
    *_, expected = trajectory(start, SLOPES, learning_rate=RATE, rho=0.5, k=3)
    loss = keras.losses.MeanSquaredError(dtype="float64")
    for a, b in zip(trained(wide, THIRD, loss=loss)[0], expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_a_second_gradient_in_each_step_is_sam():
    found, expected = trained(sam=(0.5, 1)), test_sam.trained()
    assert_close(found, expected, 0)


def test_the_first_step_is_that_of_sam():
    once = {"make": noisy, "batch_size": 48, "epochs": 1}
    assert_close(trained(sam=THIRD, **once), test_sam.trained(sam=(0.5,), **once))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_other_steps_run_the_model_once(jit_compile):
    runs = tf.Variable(0)  # Keras does not restore it

    class Counter(layers.Layer):
        def call(self, x, training=False):
            if training:
                runs.assign_add(1)
            return x

    def counted():
        return keras.Sequential([Input((3,)), Counter(), layers.Dense(2)])

    trained(counted, THIRD, batch_size=8, jit_compile=jit_compile)
    assert int(runs) == 12 + 4


def test_metrics_and_statistics_are_those_of_the_weights_themselves():
    still = {"optimizer": lambda: keras.optimizers.SGD(0.0), "metrics": ["mae"]}
    found, plain = trained(noisy, (0.5, 2), **still), trained(noisy, None, **still)
    assert found[1] == plain[1]
    for a, b in zip(found[2].variables, plain[2].variables, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)


# -- gradients of all kinds ------------------------------------------------------------------


@pytest.mark.parametrize("angle", [0, 1e-4])
def test_parallel_gradients_leave_nothing_to_reuse(angle):
    g, h = CHANCE.normal(size=(2, 200))
    h -= (g @ h) / (g @ g) * g
    other = 1.1 * g + angle * np.linalg.norm(g) / np.linalg.norm(h) * h
    first, second = g.astype("float32"), other.astype("float32")  # rounded
    (found,) = PeriodicAscent(0.05, 5, 0.7, adaptive=False).direction([first], [second])
    np.testing.assert_allclose(found, h / np.linalg.norm(h) if angle else 0 * h, atol=1e-3)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_sparse_gradient_is_one_with_rows_of_zeros(jit_compile):
    """Also with a smaller batch at the end: then TensorFlow does not know the gradient's rank."""

    def run(table):
        def make():
            parts = table(), layers.Flatten(), layers.Dense(2)
            return keras.Sequential([Input((4,), dtype="int32"), *parts])

        return trained(make, THIRD, x=TOKENS, batch_size=13, jit_compile=jit_compile)

    assert_close(run(lambda: layers.Embedding(6, 3)), run(OneHot))


def test_the_scale_of_the_loss_cancels_out():
    def scaled():
        return optimizers.LossScaleOptimizer(optimizers.SGD(RATE), initial_scale=2.0**100)

    assert_close(trained(sam=THIRD, optimizer=scaled), trained(sam=THIRD))


@pytest.mark.parametrize("batch", [0, 1, 2])
def test_a_step_that_is_not_finite_does_not_count(batch):
    rows = np.s_[16 * batch : 16 * batch + 16]
    poisoned = X.copy()
    poisoned[rows][3] = np.inf
    without = np.delete(X, rows, 0), np.delete(Y, rows, 0)

    def run(x, y):
        def scaled():
            return optimizers.LossScaleOptimizer(sgd(), initial_scale=8.0)

        return trained(sam=(0.5, 2), x=x, y=y, optimizer=scaled)

    for a, b in zip(run(poisoned, Y)[0], run(*without)[0], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_weights_that_are_trained_later_are_included():
    def run(again):
        keras.utils.set_random_seed(1)
        model = LookSAM(deep(), *THIRD)
        for trainable in (False, True):  # three steps each
            model.layers[0].trainable = trainable
            model.compile(sgd(), "mse", jit_compile=False)
            model.fit(X, Y, batch_size=16, shuffle=False, verbose=0)
            if again:
                LookSAM(model, *THIRD)
        return model.get_weights(), {}

    assert_close(run(again=False), run(again=True), 0)


# -- replicas --------------------------------------------------------------------------------


def masked():
    parts = layers.Embedding(6, 3, mask_zero=True), layers.Dense(2)
    return keras.Sequential([Input((4,), dtype="int32"), *parts])


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (deep, {"optimizer": adam, "jit_compile": True, "steps_per_execution": 2, **UNEVEN}),
        (OwnStep, UNEVEN),
        (masked, {"x": TOKENS, "y": np.repeat(Y[:, None], 4, axis=1)}),  # replicas count masks
    ],
)
def test_two_replicas_equal_one_device(make, options, mirrored):
    found = trained(make, THIRD, strategy=mirrored, **options)
    expected = trained(make, THIRD, **options)
    assert_close((found[0], {}), (expected[0], {}))


def test_replicas_without_prepare(mirrored):
    def run(strategy):
        keras.utils.set_random_seed(1)
        with strategy.scope():
            model = LookSAM(deep(), *THIRD)
            model.compile(sgd(), "mse", jit_compile=False)
        model.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
        return model.get_weights(), {}

    assert_close(run(mirrored), run(tf.distribute.get_strategy()))


# -- what is kept ----------------------------------------------------------------------------


def test_called_again_it_begins_anew():
    def run(model):
        model.fit(X, Y, batch_size=16, shuffle=False, verbose=0)
        return model.get_weights(), {}

    model = trained(sam=(0.5, 5), epochs=1)[2]
    weights = model.get_weights()
    for extend, settings in ((LookSAM, (0.1, 2)), (SAM, (0.1,)), (SAM, (0,)), (LookSAM, (0,))):
        extend(model, *settings)
        model.set_weights(weights)
        fresh = test_sam.trained(epochs=0, extend=extend, sam=settings)[2]
        fresh.set_weights(weights)
        assert_close(run(model), run(fresh), 0)
    assert direction_of(model) is None


def test_loaded_weights_begin_with_a_second_gradient(tmp_path):
    model = trained(normed, (0.5, 5), optimizer=adam, jit_compile=False, epochs=1)[2]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    model.set_weights(model.get_weights())
    for each in (model, loaded):
        each.fit(X, Y, batch_size=16, shuffle=False, verbose=0)
    for a, b in zip(model.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)


def test_the_model_does_not_list_the_direction():
    model, plain = trained(sam=THIRD, epochs=1)[2], trained(sam=None, epochs=1)[2]
    assert len(direction_of(model).variables) == 5
    for kind in ("variables", "weights", "non_trainable_variables", "metrics_variables"):
        assert len(getattr(model, kind)) == len(getattr(plain, kind))


def test_an_interrupted_fit_resumes(tmp_path):
    def run(folder, *more):
        keras.utils.set_random_seed(1)
        model = LookSAM(noisy(), 0.5, 4)
        model.compile(adam(), "mse", jit_compile=False)
        kept = ResumableCheckpoint(folder, every="1 step")
        model.fit(X, Y, batch_size=16, epochs=2, verbose=0, callbacks=[kept, *more])
        return [*model.variables, *direction_of(model).variables]

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", Interrupt())
    for a, b in zip(run(tmp_path / "run"), run(tmp_path / "whole"), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)


def test_an_exported_train_step_has_it(tmp_path):
    model = trained(sam=THIRD, optimizer=adam, epochs=0)[2]
    keras_gdx.export(model, tmp_path / "model")
    loaded = tf.saved_model.load(tmp_path / "model")
    for i in (0, 16, 32) * 2:
        loaded.train_step(X[i : i + 16], Y[i : i + 16], 0.01)
    expected = trained(sam=THIRD, optimizer=adam)[2].predict(X, verbose=0)
    np.testing.assert_allclose(loaded.serve(X), expected, atol=1e-6)


# -- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", sgd()),
        ("rho", -0.1),
        ("k", 0),
        ("k", 2.5),
        ("k", True),
        ("alpha", -0.5),
        ("alpha", float("inf")),
        ("adaptive", 1),
    ],
)
def test_bad_arguments_are_refused(name, value):
    model = linear()
    with pytest.raises(ValueError, match=f"`{name}`"):
        LookSAM(**{"model": model, name: value})
    assert "train_step" not in vars(model)
