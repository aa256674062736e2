"""Sharpness-aware minimization in the train step of any model."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import Input, layers

import keras_gdx
from keras_gdx import SAM, distribute, optimizers, regularizers
from keras_gdx.callbacks import ResumableCheckpoint
from tests.reference.sam import trajectory

RATE = 0.125
CHANCE = np.random.default_rng(0)
X = CHANCE.normal(size=(48, 3)).astype("float32")
Y = CHANCE.normal(size=(48, 2)).astype("float32")
TOKENS = CHANCE.integers(0, 5, size=(48, 4))  # repeated in most examples, and 5 never occurs


@keras.saving.register_keras_serializable("tests.sam")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.body = layers.Dense(2)

    def call(self, x):
        return self.body(x)


@keras.saving.register_keras_serializable("tests.sam")
class OwnStep(Subclassed):
    """Trains with a step of its own."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        weights = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        return {"loss": loss}


def linear():
    return keras.Sequential([Input((3,)), layers.Dense(2)])


def functional():
    x = Input((3,))
    return keras.Model(x, layers.Dense(2)(x))


def deep():
    return keras.Sequential([Input((3,)), layers.Dense(4, "tanh"), layers.Dense(2)])


def normed(*parts):
    norm = layers.BatchNormalization(momentum=0.5)
    return keras.Sequential([Input((3,)), layers.Dense(4, "tanh"), norm, *parts, layers.Dense(2)])


def noisy():
    return normed(layers.Dropout(0.5))


def sgd():
    return keras.optimizers.SGD(RATE)


def trained(
    make=deep, sam=(0.5,), *, extend=SAM, optimizer=sgd, strategy=None, x=X, y=Y, **options
):
    """A model after a `fit`: its weights, logs, and itself."""
    names = ("batch_size", "epochs", "sample_weight")
    fit = {name: options.pop(name) for name in names if name in options}
    keras.utils.set_random_seed(1)
    with (strategy or tf.distribute.get_strategy()).scope():
        model = make()
        model(x[:1])
        model.compile(optimizer(), options.pop("loss", "mse"), **options)
    if strategy:
        distribute.prepare(model)
    if sam is not None:
        assert extend(model, *sam) is model
    fit = {"batch_size": 16, "epochs": 2} | fit
    history = model.fit(x, y, **fit, shuffle=False, verbose=0)
    return model.get_weights(), history.history, model


def assert_close(found, expected, tolerance=1e-6):
    for a, b in zip(found[0], expected[0], strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance)
    assert found[1].keys() == expected[1].keys()
    for name in expected[1]:
        np.testing.assert_allclose(found[1][name], expected[1][name], rtol=1e-5)


def differ(found, expected):
    return max(np.abs(a - b).max() for a, b in zip(found[0], expected[0], strict=True)) > 1e-3


# -- the paper -------------------------------------------------------------------------------


def slope_of(x, y):
    x, y = x.astype("float64"), y.astype("float64")

    def slope(w):
        residual = 2 * (x @ w[0] + w[1] - y) / y.size
        return [x.T @ residual, residual.sum(0)]

    return slope


SLOPES = [slope_of(X[i : i + 16], Y[i : i + 16]) for i in (0, 16, 32)] * 2


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize(
    ("make", "options"),
    [
        (linear, {"jit_compile": True}),
        (functional, {"jit_compile": False}),
        (Subclassed, {"run_eagerly": True}),
        (OwnStep, {"jit_compile": False, "optimizer": lambda: optimizers.SGD(RATE)}),
        (functional, {"jit_compile": False, "steps_per_execution": 4}),
    ],
)
def test_takes_the_steps_of_the_paper(make, options, adaptive):
    start = trained(make, epochs=0, **options)[0]
    *_, expected = trajectory(start, SLOPES, learning_rate=RATE, rho=0.5, adaptive=adaptive)
    for a, b in zip(trained(make, (0.5, adaptive), **options)[0], expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_float64_is_not_rounded():
    def wide():
        return keras.Sequential([Input((3,)), layers.Dense(2, dtype="float64")])

    start = trained(wide, epochs=0)[0]
    *_, expected = trajectory(start, SLOPES, learning_rate=RATE, rho=0.5)
    loss = keras.losses.MeanSquaredError(dtype="float64")
    for a, b in zip(trained(wide, loss=loss)[0], expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


# -- what a step does once -------------------------------------------------------------------


def test_metrics_and_statistics_are_those_of_the_weights_themselves():
    still = {"optimizer": lambda: keras.optimizers.SGD(0.0), "metrics": ["mae"]}
    found, plain = trained(noisy, **still), trained(noisy, None, **still)
    assert found[1] == plain[1]
    for a, b in zip(found[2].variables, plain[2].variables, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)  # random states, too


class Record(layers.Layer):
    """Keeps the masks that it draws."""

    def __init__(self):
        super().__init__()
        self.seen, self.drop = [], layers.Dropout(0.5)

    def call(self, x):
        y = self.drop(x, training=True)
        self.seen.append(np.asarray(y != 0))
        return y


def test_both_runs_draw_the_same_numbers():
    record = Record()

    def make():
        return keras.Sequential([Input((3,)), record, layers.Dense(2)])

    keras.utils.set_random_seed(0)
    model = SAM(make())
    model.compile("sgd", "mse", run_eagerly=True)
    model.build()
    record.seen.clear()
    for _ in range(2):
        model.train_on_batch(X, Y)
    first, again, later, latest = record.seen[-4:]
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(later, latest)
    assert (first != later).any()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_are_restored_bit_for_bit(dtype):
    def make():
        parts = layers.Embedding(6, 3, dtype=dtype), layers.Flatten(), layers.Dense(2, dtype=dtype)
        return keras.Sequential([Input((4,), dtype="int32"), *parts])

    still = {"optimizer": lambda: keras.optimizers.SGD(0.0), "x": TOKENS}
    for a, b in zip(trained(make, **still)[0], trained(make, epochs=0, **still)[0], strict=True):
        np.testing.assert_array_equal(a, b)


# -- gradients of all kinds ------------------------------------------------------------------


class OneHot(layers.Layer):
    """Looks up rows with a matrix product, which has a dense gradient."""

    def __init__(self):
        super().__init__()
        self.embeddings = self.add_weight(shape=(6, 3), initializer="uniform")

    def call(self, tokens):
        return keras.ops.one_hot(tokens, 6) @ self.embeddings


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_sparse_gradient_moves_its_rows(jit_compile, adaptive):
    def make(table):
        parts = table(), layers.Flatten(), layers.Dense(2)
        return keras.Sequential([Input((4,), dtype="int32"), *parts])

    def run(table):
        return trained(lambda: make(table), (0.5, adaptive), x=TOKENS, jit_compile=jit_compile)

    assert_close(run(lambda: layers.Embedding(6, 3)), run(OneHot))


def test_the_scale_of_the_loss_cancels_out():
    def scaled():
        return optimizers.LossScaleOptimizer(optimizers.SGD(RATE), initial_scale=2.0**100)

    assert_close(trained(optimizer=scaled), trained())


@pytest.mark.parametrize(
    "kind", [optimizers.LossScaleOptimizer, keras.optimizers.LossScaleOptimizer]
)
def test_a_step_that_is_not_finite_is_skipped(kind):
    poisoned = np.where(np.arange(48)[:, None] == 20, np.inf, X)  # in the second of three batches
    without = np.delete(X, np.s_[16:32], 0), np.delete(Y, np.s_[16:32], 0)

    def run(x, y):
        return trained(x=x, y=y, optimizer=lambda: kind(sgd(), initial_scale=8.0), epochs=1)

    for a, b in zip(run(poisoned, Y)[0], run(*without)[0], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_gradient_of_zero_moves_nothing():
    y = np.zeros((48, 2), "float32")
    weights, logs, _ = trained(linear, x=np.zeros_like(X), y=y)
    assert np.isfinite(weights[0]).all()
    assert logs["loss"] == [0, 0]


def test_frozen_and_unused_weights():
    class Unused(Subclassed):
        def build(self, shape):
            super().build(shape)
            self.unused = self.add_weight(shape=(2,), name="unused")

    with pytest.warns(UserWarning, match="Gradients do not exist"):
        found = trained(Unused, jit_compile=False)
    assert_close(([found[0][-2], found[0][-1]], found[1]), trained(linear))

    def frozen():
        model = linear()
        model.trainable = False
        return model

    with pytest.warns(UserWarning, match="trainable"):
        trained(frozen, jit_compile=False, epochs=1)


# -- replicas and accumulation ---------------------------------------------------------------


def adam():
    return optimizers.AdamW(0.01, global_clipnorm=0.1)


UNEVEN = {"batch_size": 13}  # the last batch has 9 examples


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (deep, {"optimizer": adam, "jit_compile": False, "batch_size": 16}),
        (deep, {"optimizer": adam, "jit_compile": True, **UNEVEN}),
        (deep, {"steps_per_execution": 2, **UNEVEN}),
        (OwnStep, UNEVEN),
    ],
)
def test_two_replicas_equal_one_device(make, options, mirrored):
    found, expected = trained(make, strategy=mirrored, **options), trained(make, **options)
    assert_close((found[0], {}), (expected[0], {}))
    assert differ(expected, trained(make, None, **options))


def test_replicas_without_prepare(mirrored):
    def run(strategy):
        keras.utils.set_random_seed(1)
        with strategy.scope():
            model = SAM(deep(), 0.5)
            model.compile(sgd(), "mse", jit_compile=False)
        history = model.fit(X, Y, batch_size=16, shuffle=False, verbose=0)
        return model.get_weights(), history.history

    assert_close(run(mirrored), run(tf.distribute.get_strategy()))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_replicas_of_their_own_are_micro_batches_of_their_own(jit_compile, mirrored):
    def accumulating():
        return optimizers.SGD(RATE, gradient_accumulation_steps=2)

    options = {"epochs": 1, "jit_compile": jit_compile}
    each = trained(sam=(0.5, False, True), strategy=mirrored, batch_size=16, **options)
    parts = trained(optimizer=accumulating, batch_size=8, **options)
    assert_close((each[0], {}), (parts[0], {}))
    assert differ(each, trained(batch_size=16, **options))


def test_prepared_before_or_after(mirrored):
    def run(order):
        keras.utils.set_random_seed(1)
        with mirrored.scope():
            model = deep()
            model.compile(sgd(), "mse", jit_compile=False)
        for extend in order:
            extend(model)
        model.fit(X, Y, batch_size=13, shuffle=False, verbose=0)
        return model.get_weights()

    for a, b in zip(run([SAM, distribute.prepare]), run([distribute.prepare, SAM]), strict=True):
        np.testing.assert_array_equal(a, b)


# -- together with the rest ------------------------------------------------------------------


def test_a_penalty_on_the_step_has_its_second_gradient_too():
    def run(order):
        keras.utils.set_random_seed(1)
        model = deep()
        model.compile(sgd(), "mse")
        for extend in order:
            extend(model)
        model.fit(X, Y, batch_size=16, shuffle=False, verbose=0)
        return model.get_weights()

    def sam(model):
        SAM(model, 0.5)

    def penalty(model):
        regularizers.apply(model, regularizers.GradientPenalty(0.3))

    both = run([sam, penalty])
    for a, b in zip(both, run([penalty, sam]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert differ([both], [run([sam])])


def test_called_again_it_replaces_its_settings():
    model = trained(sam=(0.5,), epochs=0)[2]
    SAM(model, 0.1)
    model.fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    assert_close((model.get_weights(), {}), (trained(sam=(0.1,))[0], {}))
    model = trained(sam=(0.5,), epochs=0)[2]
    SAM(model, 0)
    model.fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    assert_close((model.get_weights(), {}), (trained(sam=None)[0], {}), 0)


def test_a_saved_model_goes_on(tmp_path):
    options = {"optimizer": adam, "jit_compile": False}
    model = trained(normed, (0.5, True), **options)[2]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for each in (model, loaded):
        each.fit(X, Y, batch_size=16, shuffle=False, verbose=0)
    for a, b in zip(model.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)


class Interrupt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            raise KeyboardInterrupt


def test_an_interrupted_fit_resumes(tmp_path):
    def run(folder, *more):
        keras.utils.set_random_seed(1)
        model = SAM(noisy(), 0.5)
        model.compile(adam(), "mse", jit_compile=False)
        kept = ResumableCheckpoint(folder, every="1 step")
        model.fit(X, Y, batch_size=16, epochs=2, verbose=0, callbacks=[kept, *more])
        return model.variables

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", Interrupt())
    for a, b in zip(run(tmp_path / "run"), run(tmp_path / "whole"), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)


def test_an_exported_train_step_has_it(tmp_path):
    model = trained(optimizer=adam, epochs=0)[2]
    keras_gdx.export(model, tmp_path / "model")
    loaded = tf.saved_model.load(tmp_path / "model")
    for i in (0, 16, 32):
        loaded.train_step(X[i : i + 16], Y[i : i + 16], 0.01)
    expected = trained(optimizer=adam, epochs=1)[2].predict(X, verbose=0)
    np.testing.assert_allclose(loaded.serve(X), expected, atol=1e-6)


# -- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("model", {"model": sgd()}),
        ("rho", {"rho": -0.1}),
        ("rho", {"rho": float("nan")}),
        ("adaptive", {"adaptive": 1}),
        ("per_replica", {"per_replica": None}),
    ],
)
def test_bad_arguments_are_refused(name, arguments):
    model = linear()
    with pytest.raises(ValueError, match=f"`{name}`"):
        SAM(**{"model": model, **arguments})
    assert "train_step" not in vars(model)


@pytest.mark.parametrize("times", [0, 2])
def test_a_step_that_applies_gradients_several_times_is_refused(times):
    class Adversarial(OwnStep):
        def train_step(self, data):
            for _ in range(times):
                super().train_step(data)
            return {}

    with pytest.raises(ValueError, match=f"Adversarial applies gradients {times} times"):
        trained(Adversarial)
