"""Every preset trains; what is given replaces it."""

import keras
import numpy as np
import pytest

import keras_gdx
from keras_gdx.recipes import PRESETS


def network():
    keras.utils.set_random_seed(0)
    hidden = keras.layers.Dense(8, "tanh", name="hidden")
    return keras.Sequential([keras.Input((4,)), hidden, keras.layers.Dense(1, name="head")])


def rates(optimizer, steps):
    return [float(optimizer.rate_at(step)) for step in steps]


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: f"{preset.rule}-{preset.name}")
def test_trains_with_its_settings(preset):
    model = network()
    optimizer = keras_gdx.create(preset.rule, model, preset=preset.name)
    model.compile(optimizer, "mse")
    before = model.get_weights()
    model.fit(np.ones((80, 4)), np.ones((80, 1)), batch_size=8, epochs=2, verbose=0)
    assert all((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
    assert {name: getattr(optimizer, name) for name in preset.arguments} == preset.arguments
    end_of_warmup = (preset.schedule or {}).get("warmup_steps", 0)
    highest = max(rates(optimizer, [*range(20), end_of_warmup, end_of_warmup + 1]))
    assert highest == pytest.approx(preset.learning_rate, rel=0.02)
    assert preset.source


def test_names_are_unique_for_a_rule():
    assert len({(p.rule, p.name) for p in PRESETS}) == len(PRESETS)


def test_what_is_given_replaces_it():
    model = network()
    optimizer = keras_gdx.create(
        "adamw", model, preset="llama", learning_rate=0.01, weight_decay=0.2
    )
    assert (optimizer.weight_decay, optimizer.global_clipnorm) == (0.2, 1.0)
    model.compile(optimizer, "mse")
    model.fit(np.ones((80, 4)), np.ones((80, 1)), batch_size=8, verbose=0)
    found = rates(optimizer, range(10))
    assert max(found) == pytest.approx(0.01)
    assert found[-1] < 0.002  # the schedule of the preset, with the length of `fit`


def test_an_unknown_preset_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"'vit', 'convnext'.*Received: preset='conv'"):
        keras_gdx.create("adamw", preset="conv")
    with pytest.raises(ValueError, match="None for 'radam'"):
        keras_gdx.create("radam", preset="vit")


def test_rules_by_path_take_the_length_of_the_run_too():
    model = network()
    falling = keras_gdx.schedules.create("linear", 0.1, warmup=0)
    rules = {"head": keras_gdx.optimizers.SGD(falling)}
    model.compile(keras_gdx.optimizers.Partition(rules), "mse")
    model.fit(np.ones((16, 4)), np.ones((16, 1)), batch_size=4, verbose=0)
    assert rates(rules["head"], range(5)) == pytest.approx([0.1, 0.075, 0.05, 0.025, 0.0], abs=1e-6)
