"""LoRA adapters, quantized layers, and layers that are frozen between two `fit`s."""

import keras
import numpy as np
import pytest

import keras_gdx
from keras_gdx import optimizers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 16)).astype("float32")
Y = (X @ RNG.normal(size=(16, 4))).astype("float32")


def network(dtype="bfloat16"):
    keras.utils.set_random_seed(0)
    hidden = keras.layers.Dense(16, "tanh", name="hidden", dtype=dtype)
    head = keras.layers.Dense(4, name="head", dtype=dtype)
    return keras.Sequential([keras.Input((16,)), hidden, head])


def fit(model, epochs=3):
    return model.fit(X, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0).history["loss"]


def values(variables):
    return [np.asarray(v.numpy(), "float32") for v in variables]


def changed(before, model):
    """For each trainable variable, the share of its entries that have changed."""
    after = values(model.trainable_variables)
    return [(old != new).mean() for old, new in zip(before, after, strict=True)]


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("rule", ["adam", "adamw", "lion", "sgd", "adafactor", "muon", "came"])
def test_adapters_in_sixteen_bits_learn(rule, quantized):
    model = network()
    if quantized:
        model.quantize("int8")
    model.get_layer("hidden").enable_lora(2)
    rate = {"sgd": 0.02, "muon": 0.02, "adafactor": 0.5}.get(rule, 2e-3)
    model.compile(keras_gdx.create(rule, model, learning_rate=rate, precision="kahan"), "mse")
    before = values(model.trainable_variables)
    losses = fit(model, 6)
    assert losses[-1] < 0.97 * losses[0]
    assert min(changed(before, model)) > 0.5
    assert not any("hidden/kernel" in v.path for v in model.trainable_variables)


@pytest.mark.parametrize("package", [keras, keras_gdx])
def test_the_moments_of_keras_in_sixteen_bits_stop_other_weights(package):
    """The biases and the kernel of the head do not move at all; in Keras 3.12 nothing does."""
    model = network()
    model.get_layer("hidden").enable_lora(2)
    model.compile(package.optimizers.Adam(5e-4), "mse")
    before = values(model.trainable_variables)
    fit(model, 12)
    still = changed(before, model).count(0)
    assert still in ((3, len(before)) if package is keras else (0,))


def test_adapters_enabled_after_compile_are_trained():
    model = network("float32")
    model.compile(optimizers.Adam(0.01), "mse")
    model.get_layer("hidden").enable_lora(2)
    kernel = model.get_layer("hidden")._kernel.numpy()
    before = values(model.trainable_variables)
    fit(model)
    np.testing.assert_array_equal(model.get_layer("hidden")._kernel, kernel)
    assert min(changed(before, model)) > 0


def test_adapters_enabled_after_the_first_step_need_a_new_optimizer():
    model = network("float32")
    model.compile(optimizers.Adam(0.01), "mse")
    fit(model)
    model.get_layer("hidden").enable_lora(2)
    model.compile(model.optimizer, "mse")
    with pytest.raises(ValueError, match="Compile the model again with a new optimizer"):
        fit(model)


def test_what_stays_keeps_its_state_while_another_layer_is_frozen():
    model = network("float32")
    model.compile(optimizers.Adam(0.01), "mse")
    fit(model)
    hidden, head = model.layers
    hidden.trainable = False
    model.compile(model.optimizer, "mse")
    kept, before = values(hidden.variables), values(head.variables)
    moments = [slots["momentum"].read() for slots in model.optimizer.state.slots]
    fit(model)
    for a, b in zip(kept, values(hidden.variables), strict=True):
        np.testing.assert_array_equal(a, b)
    now = [slots["momentum"].read() for slots in model.optimizer.state.slots]
    same = [np.array_equal(a, b) for a, b in zip(moments, now, strict=True)]
    assert same == [True, True, False, False]
    assert all((a != b).any() for a, b in zip(before, values(head.variables), strict=True))
    hidden.trainable = True
    model.compile(model.optimizer, "mse")
    fit(model)
    assert all((a != b).any() for a, b in zip(kept, values(hidden.variables), strict=True))
    assert model.optimizer.iterations.numpy() == 3 * 3 * 8
