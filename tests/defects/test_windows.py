"""Defects of Keras: what it counts while accumulating gradients, and incomplete windows."""

import keras
import tensorflow as tf

import keras_gdx
from tests.defects.harness import Steps, column, keras_shows, linear_model, same

ONE = [1.0, 1.0]


def after_two_windows(optimizer):
    """The change in two updates with rates that halve: 1 and 1/2."""
    rate = keras.optimizers.schedules.ExponentialDecay(1.0, decay_steps=1, decay_rate=0.5)
    return -Steps(lambda: optimizer(rate, gradient_accumulation_steps=2)).moved(*4 * [ONE])


def test_keras_d04_schedules_count_micro_batches():
    wrong = [0.625, 0.625]  # the rates of micro-batches 1 and 3, 1/2 and 1/8
    keras_shows(wrong, [1.5, 1.5], after_two_windows, keras.optimizers.SGD)


def test_ours_d04_schedules_count_updates():
    assert same(after_two_windows(keras_gdx.optimizers.SGD), [1.5, 1.5])


def average_over_windows(optimizer):
    """The average of the weights after three updates: of -1, -2 and -3, with momentum 1/2."""
    average = {"use_ema": True, "ema_momentum": 0.5}
    steps = Steps(lambda: optimizer(1.0, gradient_accumulation_steps=2, **average))
    steps.take(*6 * [ONE])
    steps.optimizer.finalize_variable_values([steps.variable])
    return steps.value


def test_keras_d05_averages_count_micro_batches():
    wrong = [-2.375, -2.375]
    keras_shows(wrong, [-2.25, -2.25], average_over_windows, keras.optimizers.SGD)


def test_ours_d05_averages_count_updates():
    assert same(average_over_windows(keras_gdx.optimizers.SGD), [-2.25, -2.25])


def after_each_fit(optimizer, strategy=None):
    """The weight after six micro-batches of ones in windows of four, then two of tens."""
    strategy = strategy or tf.distribute.get_strategy()
    replicas = strategy.num_replicas_in_sync
    with strategy.scope():
        model = linear_model(optimizer(1.0, gradient_accumulation_steps=4))
    weights = []
    for numbers in (6 * [1], 2 * [10]):
        x = column(*replicas * numbers)
        model.fit(x, x, batch_size=replicas, verbose=0)
        weights.append(model.get_weights()[0].item())
    return weights


def test_keras_d06_the_tail_waits_and_leaks_into_the_next_fit():
    wrong = [-1.0, -6.5]  # the second window is (1 + 1 + 10 + 10) / 4
    keras_shows(wrong, [-2.0, -12.0], after_each_fit, keras.optimizers.SGD)


def test_ours_d06_the_tail_is_applied():
    assert same(after_each_fit(keras_gdx.optimizers.SGD), [-2.0, -12.0])


def test_ours_d06_the_tail_is_applied_with_replicas(mirrored):
    assert same(after_each_fit(keras_gdx.optimizers.SGD, mirrored), [-2.0, -12.0])
