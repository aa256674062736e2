"""Defects of Keras: two replicas with different data."""

import keras
import numpy as np
import pytest

import keras_gdx
from tests.defects.harness import Steps, column, keras_shows, linear_model, same

UNEQUAL = [[[1.0, 0.0], [0.0, 3.0]], [[2.0, 5.0], [7.0, 0.0]]]  # the sums: (1, 3), (9, 5)


def after_a_window(optimizer, strategy):
    """The weights after one update with the mean of two micro-batches."""
    return Steps(lambda: optimizer(1.0, gradient_accumulation_steps=2), strategy=strategy).moved(
        *UNEQUAL
    )


MEAN_OF_A_WINDOW = [-5.0, -4.0]


def test_keras_d01_cannot_accumulate_with_replicas(mirrored):
    keras_shows(RuntimeError, MEAN_OF_A_WINDOW, after_a_window, keras.optimizers.SGD, mirrored)


def test_ours_d01_accumulates_with_replicas(mirrored):
    assert same(after_a_window(keras_gdx.optimizers.SGD, mirrored), MEAN_OF_A_WINDOW)


def after_an_overwrite(optimizer, strategy):
    """The weights after the second update, when they are overwritten by their average."""
    average = {"use_ema": True, "ema_momentum": 0.75, "ema_overwrite_frequency": 2}
    return Steps(lambda: optimizer(1.0, **average), strategy=strategy).moved(*UNEQUAL)


AVERAGE_OF_TWO = [-3.25, -4.25]  # of (-1, -3), with 3/4, and (-10, -8)


def test_keras_d02_cannot_overwrite_by_averages_with_replicas(mirrored):
    keras_shows(RuntimeError, AVERAGE_OF_TWO, after_an_overwrite, keras.optimizers.SGD, mirrored)


def test_ours_d02_overwrites_by_averages_with_replicas(mirrored):
    assert same(after_an_overwrite(keras_gdx.optimizers.SGD, mirrored), AVERAGE_OF_TWO)


def clipped_step(optimizer, option, strategy):
    """A step of rate 1, clipped to 1: the gradients are (4, 3) and (3, 4), their sum (7, 7)."""
    return -Steps(lambda: optimizer(1.0, **{option: 1.0}), strategy=strategy).moved(
        [[4.0, 3.0], [3.0, 4.0]]
    )


CLIPPED = {  # the step with each gradient clipped, and with their sum clipped
    "clipnorm": ([1.4, 1.4], [0.5**0.5, 0.5**0.5]),
    "global_clipnorm": ([1.4, 1.4], [0.5**0.5, 0.5**0.5]),
    "clipvalue": ([2.0, 2.0], [1.0, 1.0]),
}


@pytest.mark.parametrize("option", CLIPPED)
def test_keras_d03_clipping_precedes_the_reduction(option, mirrored):
    wrong, right = CLIPPED[option]
    keras_shows(wrong, right, clipped_step, keras.optimizers.SGD, option, mirrored)


@pytest.mark.parametrize("option", CLIPPED)
def test_ours_d03_clipping_follows_the_reduction(option, mirrored):
    found = clipped_step(keras_gdx.optimizers.SGD, option, mirrored)
    assert same(found, CLIPPED[option][1])
    assert option == "clipvalue" or same(np.linalg.norm(found), 1.0)


def after_an_overflow(optimizer, strategy, policy):
    """The weight and the loss scale after a batch with an infinity in replica 1's half."""
    keras.config.set_dtype_policy(policy)
    try:
        with strategy.scope():
            inner = optimizer(1.0)
            scaled = keras.optimizers.LossScaleOptimizer(inner, initial_scale=1024.0)
            model = linear_model(inner if policy == "mixed_float16" else scaled)
    finally:
        keras.config.set_dtype_policy("float32")
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    model.optimizer.build(model.trainable_variables)
    before = model.optimizer.dynamic_scale.numpy()
    x = column(1, 2, 3, np.inf)
    model.fit(x, x, batch_size=4, shuffle=False, verbose=0)
    return model.get_weights()[0].item(), model.optimizer.dynamic_scale.numpy() / before


SKIPPED = (0.0, 0.5)  # the weight is unchanged, the scale is halved
POLICIES = pytest.mark.parametrize("policy", ["float32", "mixed_float16"])


@POLICIES
def test_keras_d26_asks_one_replica_for_infinities(policy, mirrored):
    wrong = (-np.inf, 1.0)
    keras_shows(wrong, SKIPPED, after_an_overflow, keras.optimizers.SGD, mirrored, policy)


@POLICIES
def test_ours_d26_asks_every_replica_for_infinities(policy, mirrored):
    assert after_an_overflow(keras_gdx.optimizers.SGD, mirrored, policy) == SKIPPED
