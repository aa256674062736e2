"""What `check` reports about a model before it is trained on replicas."""

import keras
import pytest
import tensorflow as tf
from keras import layers

from keras_gdx import distribute, optimizers
from tests.distribute.jobs import OwnLoss, X, Y, mean_of_weights, scalar
from tests.distribute.test_prepare import OwnStep

ALWAYS = "batches that do not divide by the number of replicas"


def said(model):
    return [remark.what for remark in distribute.check(model)]


def compiled(*parts, optimizer=None, loss="mse", make=keras.Sequential, **options):
    model = make([keras.Input((6,)), *parts, layers.Dense(2)])
    model.compile(optimizer or optimizers.SGD(), loss, **options)
    return model


def test_little_of_a_model_that_is_right_with_our_optimizers():
    assert said(compiled(layers.Dense(3), optimizer=optimizers.Adam(clipnorm=1.0))) == [ALWAYS]


def test_layers():
    embedding = layers.Embedding(4, 3, mask_zero=True, name="words")
    parts = [layers.GaussianNoise(0.1, name="noise"), layers.BatchNormalization(name="norm")]
    inner = keras.Sequential([layers.Dropout(0.1, name="drop")], name="inner")
    model = keras.Sequential(
        [keras.Input((5,)), embedding, *parts, inner, layers.LSTM(3, name="read")]
    )
    model.compile(optimizers.SGD(), "mse")
    assert said(model)[1:] == [
        "random numbers in noise, inner/drop",
        "masks of words",
        "statistics of norm",
    ]


def test_optimizers():
    inner = keras.optimizers.SGD(global_clipnorm=1.0, gradient_accumulation_steps=2)
    found = said(compiled(optimizer=keras.optimizers.LossScaleOptimizer(inner)))
    assert "loss scaling of LossScaleOptimizer" in found
    assert {"global_clipnorm of SGD", "gradient_accumulation_steps of SGD"} < {*found}
    average = keras.optimizers.Adam(use_ema=True, ema_overwrite_frequency=3, clipvalue=1.0)
    found = said(compiled(optimizer=average))
    assert found[1:] == ["Adam of Keras", "clipvalue of Adam", "ema_overwrite_frequency of Adam"]


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (scalar, ["scalar returns a scalar"]),
        (mean_of_weights(), ["mean_with_sample_weight of mean_squared_error"]),
        (keras.losses.mean_squared_error, []),
        (lambda y, p: undefined, []),  # noqa: F821
        ([scalar], ["scalar returns a scalar"]),
    ],
)
def test_losses(loss, expected):
    assert said(compiled(loss=loss))[1:] == expected


class Added(layers.Layer):
    """Adds a loss that `reduce` makes of the squares of its inputs."""

    def __init__(self, reduce, **options):
        super().__init__(**options)
        self.reduce = reduce

    def call(self, x):
        self.add_loss(0.01 * self.reduce(x * x))
        return x


def of_the_weights(x):
    return keras.ops.sum(keras.ops.ones(3))


def test_added_losses():
    parts = [Added(keras.ops.mean, name="mean"), Added(of_the_weights, name="weights")]
    model = compiled(*parts, layers.Dropout(0.5, name="drop"), Added(keras.ops.sum, name="sum"))
    assert said(model)[1:-1] == [
        "add_loss in mean, weights",
        "add_loss of a sum over the examples in sum",
    ]


def test_an_added_sum_is_refused(mirrored):
    with mirrored.scope():
        model = compiled(Added(keras.ops.sum, name="sum"))
    with pytest.raises(ValueError, match="add_loss in sum adds a sum over the examples"):
        distribute.prepare(model).fit(X, Y, verbose=0)


def test_methods_of_its_own():
    own = OwnLoss()
    own.compile(optimizers.SGD())
    assert said(own)[1:] == ["compute_loss of OwnLoss"]
    assert said(compiled(make=OwnStep))[1:] == ["train_step of OwnStep"]


def test_execution():
    found = said(compiled(steps_per_execution=2, jit_compile=True))
    assert found[1:] == ["steps_per_execution", "jit_compile"]


def test_layers_outside_of_the_scope(mirrored):
    outside = layers.Dense(3, name="outside")
    outside.build((None, 6))
    with mirrored.scope():
        model = compiled(outside)
    assert said(model)[0] == "made outside of strategy.scope(): outside/kernel, outside/bias"
    with mirrored.scope():
        assert said(compiled(layers.Dense(3))) == [ALWAYS]


def test_keras_own_distribution_trains_on_one_device():
    """D37: it has no effect on TensorFlow, and there is no warning."""
    before = keras.distribution.distribution()
    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    try:
        parallel = keras.distribution.DataParallel(devices=devices)
    except AttributeError:
        pytest.skip(f"Keras {keras.__version__} cannot even make one")
    try:
        keras.distribution.set_distribution(parallel)
        model = compiled()
        assert said(model)[0] == "keras.distribution"
        assert type(model.weights[0].value).__name__ == "ResourceVariable"  # on one device
    finally:
        keras.distribution.set_distribution(before)


def test_remarks_can_be_read():
    text = str(distribute.check(compiled(loss=scalar))[-1])
    assert text.splitlines() == [
        "scalar returns a scalar",
        "  Keras: gradients times the number of replicas",
        "  here:  computed from the outputs of all replicas, on each",
    ]


@pytest.mark.parametrize("bad", [None, layers.Dense(1), keras.Sequential()], ids=str)
def test_only_compiled_models(bad):
    with pytest.raises(ValueError, match="`model` must be"):
        distribute.check(bad)
