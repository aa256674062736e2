"""Defects of Keras: `fit` on two replicas."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gdx import distribute
from tests.defects.harness import column, keras_shows, same


def fitted(strategy, prepared, x, *, loss, compiled=None, layers=list, **options):
    """A model whose output is `w x`, with `w` initially 0, after an epoch at learning rate 1."""
    with strategy.scope():
        dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
        model = keras.Sequential([keras.Input(x.shape[1:]), *layers(), dense])
        model.compile(keras.optimizers.SGD(1.0), loss, **(compiled or {}))
    if prepared:
        distribute.prepare(model)
    model.fit(x, x[:, :1], shuffle=False, verbose=0, **options)
    return model


def moved(strategy, prepared, x, **options):
    """The value of `w` afterwards. For `loss_of_each` that is minus the mean of the inputs."""
    return fitted(strategy, prepared, x, **options).get_weights()[-1].ravel()[0]


def loss_of_each(y, prediction):
    return prediction[:, 0]


def mean_loss(y, prediction):
    return keras.ops.mean(prediction)


CASES = {
    "d30 scalar losses": (-4.0, -2.0, column(1, 3), {"loss": mean_loss}),
    "d31 uneven batches": (-3.5, -6.0, column(1, 1, 5), {"loss": loss_of_each, "batch_size": 2}),
    "d34 steps per execution": (
        tf.errors.InvalidArgumentError,
        -10.0,
        column(1, 3, 7, 9),
        {"loss": loss_of_each, "batch_size": 2, "compiled": {"steps_per_execution": 2}},
    ),
    "d34 jit_compile": (
        tf.errors.InvalidArgumentError,
        -2.0,
        column(1, 3),
        {"loss": loss_of_each, "compiled": {"jit_compile": True}},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_keras_is_wrong(case, mirrored):
    wrong, right, x, options = CASES[case]
    keras_shows(wrong, right, lambda: moved(mirrored, False, x, **options))


@pytest.mark.parametrize("case", CASES)
def test_ours_is_right(case, mirrored):
    _, right, x, options = CASES[case]
    assert same(moved(mirrored, True, x, **options), right)


def statistics(strategy, prepared):
    """The moving mean after a batch of 2 and 6, from 0 with momentum 1/2."""

    def layers():
        return [keras.layers.BatchNormalization(momentum=0.5)]

    model = fitted(strategy, prepared, column(2, 6), loss="mse", layers=layers)
    return model.layers[0].moving_mean.numpy()


def test_keras_d32_saves_the_statistics_of_one_replica(mirrored):
    keras_shows([1.0], [2.0], statistics, mirrored, False)


def test_ours_d32_saves_the_mean(mirrored):
    assert same(statistics(mirrored, True), [2.0])


def masks(strategy, prepared):
    """Whether two replicas have dropped the same inputs."""
    x = np.ones((2, 64), "float32")

    def layers():
        return [keras.layers.Dropout(0.5, seed=1)]

    model = fitted(strategy, prepared, x, loss=loss_of_each, layers=layers)
    # each input changes its weight by 1, half of 2, for each replica that kept it
    return not np.any(np.isclose(model.get_weights()[-1], -1))


def test_keras_d33_drops_the_same_on_all(mirrored):
    keras_shows(True, False, masks, mirrored, False)


def test_ours_d33_drops_by_replica(mirrored):
    assert same(masks(mirrored, True), False)
