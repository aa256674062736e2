"""Settings that Keras loses, refuses, ignores or does not tell."""

import keras
import numpy as np
import pytest
from keras.optimizers.schedules import ExponentialDecay

import keras_gdx
from tests.defects.harness import Steps, column, keras_shows, linear_model, same


def decay_after_reload(optimizer, way, path):
    """By how much a step without gradient shrinks the kernel and the excluded bias."""
    ones = {"kernel_initializer": "ones", "bias_initializer": "ones"}
    model = keras.Sequential([keras.layers.Dense(1, **ones)])
    model.build((None, 1))
    rule = optimizer(0.5, weight_decay=0.5)
    excluded = {"var_names": ["bias"], "var_list": [model.layers[0].bias]}
    rule.exclude_from_weight_decay(**{way: excluded[way]})
    model.compile(rule, "mse")
    model.optimizer.build(model.trainable_variables)
    model.save(path)
    loaded = keras.models.load_model(path)
    weights = loaded.trainable_variables
    loaded.optimizer.apply([np.zeros(w.shape, "float32") for w in weights], weights)
    return [w.item() for w in loaded.get_weights()]


WAYS = pytest.mark.parametrize("way", ["var_names", "var_list"])


@WAYS
def test_keras_d10_exclusion_from_decay_is_lost_on_reload(way, tmp_path):
    path = tmp_path / "model.keras"
    keras_shows([0.75, 0.75], [0.75, 1.0], decay_after_reload, keras.optimizers.SGD, way, path)


@WAYS
def test_ours_d10_exclusion_from_decay_is_saved(way, tmp_path):
    found = decay_after_reload(keras_gdx.optimizers.SGD, way, tmp_path / "model.keras")
    assert same(found, [0.75, 1.0])


def rate_after_a_plateau(optimizer, callback):
    """The rate for update 2 of a schedule that halves, after a plateau that halves it too."""
    model = linear_model(optimizer(ExponentialDecay(1.0, decay_steps=1, decay_rate=0.5)))
    x = column(0, 0)  # the loss is 0 from the start
    control = callback("loss", factor=0.5, patience=1)
    model.fit(x, x, epochs=2, batch_size=2, verbose=0, callbacks=[control])
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))


def test_keras_d16_plateaus_and_schedules_exclude_each_other():
    theirs = keras.optimizers.SGD, keras.callbacks.ReduceLROnPlateau
    keras_shows(TypeError, 0.125, rate_after_a_plateau, *theirs)


@pytest.mark.parametrize(
    "callback", [keras.callbacks.ReduceLROnPlateau, keras_gdx.callbacks.PlateauController]
)
def test_ours_d16_plateaus_scale_the_schedule(callback):
    assert same(rate_after_a_plateau(keras_gdx.optimizers.SGD, callback), 0.125)


def rates_in_history(optimizer, callbacks):
    """What `History` has of a rate that halves with each of two epochs."""
    model = linear_model(optimizer(ExponentialDecay(1.0, decay_steps=1, decay_rate=0.5)))
    x = column(1, 1)
    history = model.fit(x, x, epochs=2, batch_size=2, verbose=0, callbacks=callbacks)
    return history.history.get("learning_rate")


def test_keras_d18_history_has_no_learning_rate():
    keras_shows(None, [0.5, 0.25], rates_in_history, keras.optimizers.SGD, [])


@pytest.mark.parametrize("library", [keras, keras_gdx])
def test_ours_d18_history_has_the_learning_rate(library):
    logger = keras_gdx.callbacks.HyperparameterLogger()
    assert rates_in_history(library.optimizers.SGD, [logger]) == [0.5, 0.25]


def step_with_rate(optimizer, rate):
    return -Steps(lambda: optimizer(rate)).moved([1.0, 2.0])


RATES = pytest.mark.parametrize(
    "rate", [1, np.int64(1), np.float32(1)], ids=["int", "int64", "float32"]
)


@RATES
def test_keras_d20_refuses_a_rate_that_is_no_float(rate):
    keras_shows(ValueError, [1.0, 2.0], step_with_rate, keras.optimizers.SGD, rate)


@RATES
def test_ours_d20_takes_any_number_as_rate(rate):
    assert same(step_with_rate(keras_gdx.optimizers.SGD, rate), [1.0, 2.0])


def moved_after_change(optimizer, arguments, change, gradients):
    """How far the second of two equal compiled steps moves, a number being changed in between."""
    steps = Steps(lambda: optimizer(**arguments), start=[1.0, 1.0]).take(gradients[0])
    for name, value in change.items():
        setattr(steps.optimizer, name, value)
    return steps.moved(gradients[1])


CHANGES = {  # rule, arguments, change, gradients, step with the old number, step with the new one
    "clipnorm": (
        "SGD", {"learning_rate": 1.0, "clipnorm": 1.0}, {"clipnorm": 2.0},
        ([3.0, 4.0], [3.0, 4.0]), [-0.6, -0.8], [-1.2, -1.6],
    ),
    "weight_decay": (
        "SGD", {"learning_rate": 0.5, "weight_decay": 0.5}, {"weight_decay": 1.0},
        ([0.0, 0.0], [0.0, 0.0]), [-0.1875, -0.1875], [-0.375, -0.375],
    ),
    # Gradients 1 and -1: the second moment is 1, the first is b(1-b) - (1-b) if b stays, and
    # (1-b)c - (1-c) if it becomes c, before the correction by 1 - b**2 or 1 - c**2.
    "beta_1": (
        "Adam", {"learning_rate": 1.0, "beta_1": 0.5}, {"beta_1": 0.75},
        ([1.0, 1.0], [-1.0, -1.0]), [1 / 3, 1 / 3], [-2 / 7, -2 / 7],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_keras_d27_a_number_set_after_tracing_does_nothing(name):
    rule, *settings, wrong, right = CHANGES[name]
    rule = getattr(keras.optimizers, rule)
    keras_shows(wrong, right, moved_after_change, rule, *settings)


@pytest.mark.parametrize("name", CHANGES)
def test_ours_d27_a_number_set_after_tracing_counts(name):
    rule, *settings, _, right = CHANGES[name]
    assert same(moved_after_change(getattr(keras_gdx.optimizers, rule), *settings), right)
