"""Defects of Keras: settings that are lost, refused, ignored or not reported."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.optimizers.schedules import ExponentialDecay

import keras_gdx
from tests.defects.harness import Steps, column, keras_shows, linear_model, same


def decay_after_reload(optimizer, way, path):
    """The factor by which a step without gradient shrinks the kernel and the excluded bias."""
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


def decayed(optimizer, variables):
    """The variables that a step without gradient changes."""
    before = [v.numpy() for v in variables]
    optimizer.apply([np.zeros(v.shape, "float32") for v in variables], variables)
    return [bool((v.numpy() != b).any()) for v, b in zip(variables, before, strict=True)]


def two_towers(optimizer):
    """A model with two layers of one name, so that their kernels have the same path."""

    def tower():
        inputs = keras.Input((3,))
        return keras.Model(inputs, keras.layers.Dense(1, name="head")(inputs))

    towers, inputs = [tower(), tower()], keras.Input((3,))
    model = keras.Model(inputs, towers[0](inputs) + towers[1](inputs), name="net")
    model.compile(optimizer, "mse")
    return model, [each.get_layer("head").kernel for each in towers]


@pytest.mark.parametrize("chosen", [0, 1])
@pytest.mark.parametrize("built", [False, True])
def test_exclusion_is_of_the_variable_that_is_given(chosen, built, tmp_path):
    """Not another variable with the same path, also in a loaded model."""
    model, kernels = two_towers(keras_gdx.optimizers.SGD(1.0, weight_decay=0.5))
    assert kernels[0].path == kernels[1].path
    model.optimizer.exclude_from_weight_decay(var_list=[kernels[chosen]])
    if built:
        model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    order = [id(k) for k in kernels]
    places = {
        order.index(id(v)): i for i, v in enumerate(model.trainable_variables) if id(v) in order
    }
    for net in (model, loaded):
        found = decayed(net.optimizer, net.trainable_variables)
        assert found[places[chosen]] is False
        assert found[places[1 - chosen]] is True


def test_exclusion_in_a_model_is_by_the_path_in_the_model():
    """Not the layer of the same name that Keras creates inside."""
    inputs = keras.Input((3,))
    inner = keras.Model(inputs, keras.layers.Dense(3, name="head")(inputs), name="body")
    model = keras.Sequential([inputs, inner, keras.layers.Dense(1, name="head")], name="net")
    rule = keras_gdx.optimizers.SGD(1.0, weight_decay=0.5, no_decay=[("head/kernel", 0)])
    model.compile(rule, "mse")
    assert decayed(rule, [inner.layers[-1].kernel, model.layers[-1].kernel]) == [True, False]


def test_exclusion_of_bare_variables_with_one_name():
    first, second = (keras.Variable([1.0], name="w") for _ in range(2))
    optimizer = keras_gdx.optimizers.SGD(1.0, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_list=[second])
    assert decayed(optimizer, [first, second]) == [True, False]
    again = keras_gdx.optimizers.SGD.from_config(optimizer.get_config())
    assert decayed(again, [first, second]) == [True, False]


def test_exclusion_holds_around_the_rule():
    variables = [keras.Variable([1.0], name=name) for name in "ab"]
    rule = keras_gdx.optimizers.SGD(1.0, weight_decay=0.5)
    rule.exclude_from_weight_decay(variables[:1])
    assert decayed(keras_gdx.optimizers.ScheduleFree(rule), variables) == [False, True]


@pytest.mark.parametrize(
    "wrap",
    [lambda x: x, keras_gdx.optimizers.Lookahead, keras_gdx.optimizers.LossScaleOptimizer],
    ids=["plain", "Lookahead", "LossScaleOptimizer"],
)
def test_exclusion_adds_to_what_is_exempt_already(wrap):
    model = keras.Sequential([keras.layers.Dense(1, name=name) for name in "ab"])
    model.build((None, 2))
    for v in model.trainable_variables:
        v.assign(np.ones(v.shape))
    optimizer = wrap(keras_gdx.optimizers.SGD(1.0, weight_decay=0.5, no_decay="auto"))
    optimizer.exclude_from_weight_decay(var_names=["b/kernel"])
    model.compile(optimizer, "mse")
    assert decayed(optimizer, model.trainable_variables) == [True, False, False, False]


def test_exclusion_inside_of_replicas(mirrored):
    """Every replica warns; the second one after the first has already taken its step."""
    with mirrored.scope():
        variables = [keras.Variable([1.0], name=name) for name in "ab"]
        optimizer = keras_gdx.optimizers.SGD(1.0, weight_decay=0.5)

    def replica():
        optimizer.exclude_from_weight_decay(variables[:1], ["nothing_else"])
        optimizer.apply([tf.zeros(1), tf.zeros(1)], variables)

    with pytest.warns(UserWarning, match="'nothing_else' matches no variable"):
        tf.function(lambda: mirrored.run(replica))()
    assert [float(v[0]) for v in variables] == [1.0, 0.5]
    assert optimizer.get_config()["no_decay"] == ["nothing_else", ["a", 0]]


def rate_after_a_plateau(optimizer, callback):
    """The rate of update 2 of a schedule that halves, after a plateau that halves it too."""
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


def test_a_schedule_that_is_zero_can_be_halved_but_not_raised():
    optimizer = keras_gdx.optimizers.SGD(keras_gdx.schedules.Warmup(1.0, 4))
    optimizer.learning_rate = float(optimizer.learning_rate) / 2
    assert float(optimizer.learning_rate) == 0
    with pytest.raises(
        ValueError, match=r"`learning_rate` must be 0 .*Received: \w+\(learning_rate=0.1"
    ):
        optimizer.learning_rate = 0.1


def rates_in_history(optimizer, callbacks):
    """The logged rates when the rate halves in each of two epochs."""
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
    """The change in the second of two equal compiled steps, after a number was changed."""
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
