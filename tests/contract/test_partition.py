"""A `Partition` updates each variable as its rule does alone, and is one optimizer otherwise."""

import keras
import numpy as np
import pytest

import keras_gdx
from keras_gdx import optimizers
from tests.contract.harness import SHAPES, Run, assert_same, batches
from tests.contract.rules import COMBINED
from tests.contract.tower import Tower

WHOLE = {name: x for name, x in COMBINED.items() if name not in ("weight_decay", "decay")}


def parts():
    """One rule for each variable of the harness: whole, with a part of its own, with a mask."""
    return {
        "kernel": lambda: optimizers.Muon(0.02, weight_decay=0.1),
        "bias": lambda: optimizers.SGD(0.1, momentum=0.9),
        "convolution": lambda: optimizers.LAMB(0.02, weight_decay=0.1, no_adaptation=["conv"]),
        "gain": lambda: optimizers.Adafactor(0.05),
    }


def partition(**options):
    *listed, last = (make() for make in parts().values())
    patterns = [f"^{name}" for name in SHAPES][:-1]
    return optimizers.Partition(dict(zip(patterns, listed, strict=True)), default=last, **options)


def test_each_variable_moves_as_with_its_rule_alone():
    together, alone = Run(partition), Run(partition)
    rules = [make() for make in parts().values()]
    rng = np.random.default_rng(0)
    for _ in range(3):
        gradients = [rng.normal(size=shape).astype("float32") for shape in SHAPES.values()]
        together.optimizer.apply(gradients, together.model)
        for rule, gradient, variable in zip(rules, gradients, alone.model, strict=True):
            rule.apply([gradient], [variable])
    assert_same(together, alone)


@pytest.mark.parametrize(
    ("mode", "fused"), [("eager", False), ("graph", "auto"), ("graph", True), ("xla", "auto")]
)
def test_however_it_is_run_the_steps_are_the_same(mode, fused):
    plain = Run(lambda: partition(fused=False, **WHOLE)).train(batches(4))
    assert_same(Run(lambda: partition(fused=fused, **WHOLE), mode=mode).train(batches(4)), plain)


@pytest.mark.parametrize("shard_state", [False, True])
def test_two_replicas_equal_one(shard_state, mirrored):
    def make():
        rules = {"kernel_": optimizers.Muon(0.02), "bias": "sgd", "last": "lamb"}
        return optimizers.Partition(rules, default="adam", shard_state=shard_state, **WHOLE)

    assert_same(Tower(make, mirrored).train(batches(4)), Tower(make).train(batches(4)), atol=5e-6)


def test_a_rule_that_looks_at_the_model_looks_at_its_own_variables():
    together, alone = (Run(lambda: optimizers.SGD(0.1)) for _ in range(2))
    partition = optimizers.Partition({"kernel": optimizers.DoG(reps_rel=0.1)}, default="sgd")
    dog, rng = optimizers.DoG(reps_rel=0.1), np.random.default_rng(0)
    for _ in range(3):
        gradients = [rng.normal(size=shape).astype("float32") for shape in SHAPES.values()]
        partition.apply(gradients, together.model)
        dog.apply(gradients[:1], alone.model[:1])
    np.testing.assert_allclose(together.model[0], alone.model[0], rtol=1e-6)


def test_gradients_are_clipped_together():
    rules = {"kernel": optimizers.SGD(1.0)}
    split = Run(
        lambda: optimizers.Partition(rules, default=optimizers.SGD(1.0), global_clipnorm=0.1)
    )
    whole = Run(lambda: optimizers.SGD(1.0, global_clipnorm=0.1))
    assert_same(split.train(batches(3)), whole.train(batches(3)))


@pytest.fixture
def words():
    """A model with a table, and data that names few of its rows."""
    inputs = keras.Input((3,), dtype="int32")
    x = keras.layers.Flatten()(keras.layers.Embedding(50, 8, name="table")(inputs))
    x = keras.layers.Dense(16, "tanh", name="hidden")(x)
    model = keras.Model(inputs, keras.layers.Dense(1, name="head")(x))
    rng = np.random.default_rng(0)
    return model, rng.integers(0, 20, (24, 3)), rng.normal(size=(24, 1)).astype("float32")


def of_words(**options):
    rules = {"table": optimizers.Adam(0.1), "hidden/kernel": optimizers.Muon(), "head": "lion"}
    return optimizers.Partition(rules, default=optimizers.AdamW(0.01), **options)


def test_rows_without_a_gradient_rest_beside_a_rule_for_matrices(words):
    model, x, y = words
    before = model.get_layer("table").get_weights()[0]
    hidden = model.get_layer("hidden").get_weights()[0]
    model.compile(of_words(sparse="lazy"), "mse")
    model.fit(x, y, batch_size=8, epochs=2, verbose=0)
    moved = np.abs(model.get_layer("table").get_weights()[0] - before).max(1) > 0
    assert set(np.flatnonzero(moved)) == set(x.ravel())
    assert (model.get_layer("hidden").get_weights()[0] != hidden).all()


def test_one_file_has_all_of_its_state(words, tmp_path):
    model, x, y = words
    model.compile(of_words(use_ema=True, gradient_accumulation_steps=2), "mse")
    model.fit(x, y, batch_size=8, verbose=0, shuffle=False)
    model.optimizer.learning_rate = 0.005  # half of what `default` began with
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for each in (model, loaded):
        rates = [float(rule.learning_rate) for rule in each.optimizer.all_rules()]
        np.testing.assert_allclose(rates, [0.005, 0.05, 0.01, 1.5e-3, 5e-5, 0.005], rtol=1e-6)
        each.fit(x, y, batch_size=8, epochs=2, verbose=0, shuffle=False)
    for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_pattern_that_matches_nothing_is_named(words):
    model, x, y = words
    model.compile(optimizers.Partition({"tabel": "sgd"}), "mse")
    with pytest.warns(UserWarning, match="'tabel' matches no variable"):
        model.fit(x, y, verbose=0)


@pytest.mark.parametrize(
    ("rules", "argument"),
    [
        ({"a": optimizers.ScheduleFreeSGD(0.1)}, "rules"),
        ({"a": "lookahead"}, "rules"),
        ({"a": keras.optimizers.SGD()}, "rules"),
        ({"a": optimizers.SGD(0.1, clipnorm=1.0)}, r"rules\['a'\]\.clipnorm"),
        ({"(": "sgd"}, "rules"),
        (["sgd"], "rules"),
    ],
    ids=["averages", "wrapper", "of Keras", "option of the whole", "pattern", "list"],
)
def test_what_cannot_be_a_rule_is_refused(rules, argument):
    with pytest.raises(ValueError, match=f"Argument `{argument}"):
        optimizers.Partition(rules)


def test_options_of_the_rules_are_refused():
    with pytest.raises(TypeError, match="Partition has no argument `weight_decay`"):
        optimizers.Partition({}, weight_decay=0.1)
    shared = optimizers.SGD(0.1)
    with pytest.raises(ValueError, match="a rule of its own"):
        optimizers.Partition({"a": shared, "b": shared})


def test_create_makes_one_with_the_named_rule_for_the_rest(words):
    model, *_ = words
    optimizer = keras_gdx.create(
        "adamw", model, learning_rate=0.01, rules={"table": "sgd"}, clipnorm=1.0
    )
    assert isinstance(optimizer, optimizers.Partition)
    assert (optimizer.clipnorm, optimizer.no_decay) == (1.0, "auto")
    assert isinstance(optimizer.default, optimizers.AdamW)
    assert float(optimizer.default.learning_rate) == pytest.approx(0.01)
    with pytest.raises(ValueError, match="`rules` must be given to `inner`"):
        keras_gdx.create("lookahead", model, rules={"table": "sgd"})
