"""First choices follow from the model, the data and the limits."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_gdx
from keras_gdx.comparison.budget import Budget
from keras_gdx.comparison.strategies import Strategy
from keras_gdx.recommendation.facts import Facts
from keras_gdx.recommendation.table import TABLE, Rate, lines_for


def network(*middle, shape=(8, 8, 3)):
    return keras.Sequential([keras.Input(shape), *middle, layers.Dense(10)])


def attention(vocabulary, outputs):
    tokens = keras.Input((6,), dtype="int32")
    x = layers.Embedding(vocabulary, 8)(tokens)
    x = layers.MultiHeadAttention(2, 4)(x, x)
    return keras.Model(tokens, layers.Dense(outputs)(x))


def frozen():
    net = network(layers.Flatten(), layers.Dense(64))
    net.layers[1].trainable = False
    return net


def adapted():
    net = network(layers.Flatten(), layers.Dense(64))
    net.layers[1].enable_lora(2)
    return net


MODELS = {
    "batch norm": (
        lambda: network(layers.Conv2D(4, 3), layers.BatchNormalization(), layers.Flatten()),
        "sgd",
    ),
    "depthwise": (
        lambda: network(layers.DepthwiseConv2D(3), layers.BatchNormalization(), layers.Flatten()),
        "rmsprop",
    ),
    "layer norm": (
        lambda: network(layers.Conv2D(4, 3), layers.LayerNormalization(), layers.Flatten()),
        "adamw",
    ),
    "inside another model": (
        lambda: network(network(layers.Conv2D(4, 3), layers.BatchNormalization())),
        "sgd",
    ),
    "filters alone": (lambda: network(layers.Conv2D(4, 3), layers.Flatten()), "muon"),
    "dense": (lambda: network(layers.Flatten(), layers.Dense(16)), "muon"),
    "language model": (lambda: attention(50, 50), "muon"),
    "transformer": (lambda: attention(50, 3), "adamw"),
    "recurrent": (lambda: network(layers.LSTM(4), shape=(5, 3)), "adamw"),
    "tables": (lambda: network(layers.Embedding(100, 8), layers.Flatten(), shape=(2,)), "adamw"),
    "mostly frozen": (frozen, "adamw"),
    "adapters": (adapted, "adamw"),
}


@pytest.mark.parametrize("kind", MODELS)
def test_the_rule_follows_from_the_layers_and_trains(kind):
    build, rule = MODELS[kind]
    keras.utils.set_random_seed(0)
    model = build()
    advice = keras_gdx.recommend(model)
    assert advice["optimizer"]["name"] == rule
    assert {"learning_rate", "schedule", "weight_decay", "dtype_policy"} <= {
        choice.setting for choice in advice.choices
    }
    optimizer = advice.optimizer(model)
    model.compile(optimizer, "mse")
    x = np.ones((8, *model.input_shape[1:]), "float32")
    model.fit(x, model.predict(x, verbose=0), batch_size=4, epochs=3, verbose=0)
    peak = max(float(optimizer.rate_at(step)) for step in range(6))
    assert peak == pytest.approx(advice["learning_rate"], rel=0.01)


def test_what_cannot_be_seen_is_told_by_the_task():
    model = network(layers.Flatten(), layers.Dense(16))
    gan = keras_gdx.recommend(model, task="gan")
    assert gan.settings["beta_1"] == 0.5
    assert (gan.settings["use_ema"], gan.settings["ema_momentum"]) == (True, 0.999)
    assert keras_gdx.recommend(model, task="fine-tuning")["learning_rate"] == 5e-5
    assert "fit_full_batch" in str(keras_gdx.recommend(model, task="pinn"))


def test_rates_scale_with_the_batch():
    assert Rate(0.1, 256, "linear").at(64) == 0.025
    assert Rate(4e-3, 4096).at(1024) == 2e-3
    assert Rate(5e-5, scaling=None).at(8) == 5e-5


@pytest.mark.parametrize(
    ("valley", "minimum", "expected"),
    [(0.002, 0.05, 0.02), (0.05, 0.2, 0.05), (0.001, 0.004, 0.004), (0.004, 0.001, 0.004)],
)
def test_a_published_rate_is_moved_into_the_measured_range(monkeypatch, valley, minimum, expected):
    found = {"valley": valley, "minimum": minimum}
    monkeypatch.setattr(keras_gdx.callbacks.LearningRateFinder, "suggestions", found)
    model = network(layers.Flatten(), layers.Dense(16))
    inputs = np.ones((8, *model.input_shape[1:]), "float32")
    targets = np.ones((8, *model.output_shape[1:]), "float32")
    advice = keras_gdx.recommend(model, (inputs, targets), loss="mse")
    assert keras_gdx.recommend(model)["learning_rate"] == 0.02
    assert advice["learning_rate"] == expected


def test_the_rate_is_measured_on_a_copy():
    keras.utils.set_random_seed(0)
    model = network(layers.Dense(16, "relu"), shape=(5,))
    x = np.random.default_rng(0).normal(size=(640, 5))
    before = model.get_weights()
    with pytest.raises(ValueError, match="`loss`"):
        keras_gdx.recommend(model, (x, x[:, :1]))
    advice = keras_gdx.recommend(model, (x, x[:, :1]), loss="mse")
    measured = next(c for c in advice.choices if c.setting == "learning_rate")
    assert "LearningRateFinder" in measured.source
    space = Strategy.of("advice", advice.space).space
    rates = space.pop("learning_rate.learning_rate").values
    assert not space
    assert list(rates) == pytest.approx(
        [measured.value / 3, measured.value, 3 * measured.value], rel=0.1
    )
    assert not model.compiled
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_memory_decides_the_state_and_then_the_batch():
    model = network(layers.Flatten(), layers.Dense(256))
    full = keras_gdx.memory(model, "muon", batch_size=32).total

    def settings(limit, **more):
        return keras_gdx.recommend(model, memory=limit, **more).settings

    assert not {"state_dtype", "batch_size"} & settings(full + 1000).keys()
    assert settings(full - 1000)["state_dtype"] == "int8"
    least = keras_gdx.memory(model, "muon", batch_size=8, state_dtype="int8").total
    smaller = settings(least, batch_size=512)
    assert (smaller["state_dtype"], smaller["batch_size"]) == ("int8", 8)
    published = keras_gdx.recommend(model, batch_size=8)["learning_rate"]
    assert smaller["learning_rate"]["learning_rate"] == published
    with pytest.raises(ValueError, match="`memory` must be at least"):
        settings(1000)


def test_limits_of_the_run():
    model = network(layers.Conv2D(4, 3), layers.Flatten())
    long = keras_gdx.recommend(model, budget=Budget(steps=200_000))
    assert long["ema_momentum"] == 0.9999
    timed = keras_gdx.recommend(model, budget=Budget(seconds=30), devices=4)
    assert [type(c).__name__ for c in timed.callbacks()] == ["TimeBudget"]
    assert timed["strategy"] == "auto"


def test_every_line_has_a_source_and_can_be_reached():
    """A line below a more general one would never count."""
    kinds = Facts.__annotations__
    for place, line in enumerate(TABLE):
        assert line.source, line
        assert set(line.when) <= set(kinds), line
        above = [x for x in TABLE[:place] if x.setting == line.setting]
        assert not any(x.when.items() <= line.when.items() for x in above), line
    for settings in (("from scratch", "dense"), ("fine-tuning", "recurrent")):
        facts = Facts(*settings, None, False, False, 32, 1, False)
        assert {"optimizer", "learning_rate", "schedule"} <= lines_for(facts).keys()


@pytest.mark.parametrize(
    ("name", "value"),
    [("task", "win"), ("batch_size", 0), ("devices", 0), ("memory", -1), ("budget", 100)],
)
def test_bad_arguments(name, value):
    with pytest.raises(ValueError, match=f"`{name}`"):
        keras_gdx.recommend(network(layers.Flatten()), **{name: value})
    with pytest.raises(ValueError, match="`model` must be built"):
        keras_gdx.recommend(keras.Sequential([layers.Dense(1)]))
