"""A rule is a Keras optimizer with arguments and sources that can be queried."""

import copy
import inspect
import json
import pickle

import keras
import numpy as np
import pytest

import keras_gdx
from keras_gdx import modifiers
from keras_gdx.registry import REGISTRY
from keras_gdx.schedules import Constant, Cosine
from tests.contract.harness import Run, batches
from tests.contract.rules import core, every_rule, first_rules, make

EVERY_OPTION = {
    "weight_decay": Constant(0.1),
    "no_decay": ["bias"],
    "lr_multipliers": {"kernel": 0.5, "bias": 2.0},
    "before": [modifiers.Grokfast(0.5), modifiers.Centralize()],
    "after": [modifiers.Cautious()],
    "state_dtype": "bfloat16",
    "skip_nonfinite": True,
    "global_clipnorm": 0.3,
    "loss_scale_factor": 4.0,
    "gradient_accumulation_steps": 3,
    "name": "mine",
}


@every_rule
def test_is_a_keras_optimizer_by_name(rule):
    entry = REGISTRY[rule]
    assert issubclass(entry.cls, keras.optimizers.Optimizer)
    for name in (f"keras_gdx>{entry.cls.__name__}", f"keras_gdx>{rule}"):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile(name, "mse")
        assert type(model.optimizer) is entry.cls
    assert type(keras_gdx.create(rule)) is entry.cls


@every_rule
def test_says_where_it_comes_from_and_what_it_costs(rule):
    entry = keras_gdx.info(rule)
    assert entry.summary.endswith(".")
    assert entry.paper
    assert "NumPy" in entry.verified
    optimizer = make(rule)
    w = keras.Variable(np.zeros((160, 256), "float32"))
    optimizer.build([w])
    slots = tuple(f"_{slot.name}" for slot in optimizer.all_slots())
    kept = [v for v in optimizer.variables if len(v.shape) > 0 or v.name.endswith(slots)]
    allocated = sum(v.numpy().nbytes for v in kept)
    hyperparameters = sum(
        v.numpy().nbytes for v in optimizer.variables if v.name == "hyperparameters"
    )
    expected = optimizer.bytes_per_parameter((160, 256)) * 160 * 256
    assert allocated - hyperparameters == pytest.approx(expected)


@every_rule
def test_stores_every_argument_under_its_own_name(rule):
    optimizer = make(rule)
    for name in set(inspect.signature(type(optimizer).__init__).parameters) - {"self", "kwargs"}:
        assert hasattr(optimizer, name)


@every_rule
@pytest.mark.parametrize("rate", [0.02, Cosine(0.1, 10)], ids=["number", "schedule"])
def test_config_round_trip_of_every_option(rule, rate):
    first = make(rule, rate, **EVERY_OPTION)
    config = keras.optimizers.serialize(first)
    again = json.loads(json.dumps(config))
    assert again == config
    second = keras.optimizers.deserialize(copy.deepcopy(config))
    assert type(second) is type(first)
    assert keras.optimizers.serialize(second) == config
    assert [type(m) for m in core(second).before] == [modifiers.Grokfast, modifiers.Centralize]
    assert (
        keras.optimizers.serialize(
            type(first).from_config(pickle.loads(pickle.dumps(first.get_config())))
        )
        == config
    )


@first_rules
def test_an_equal_config_takes_equal_steps(rule):
    options = {k: v for k, v in EVERY_OPTION.items() if k != "name"}
    data = list(batches(4))
    first = Run(lambda: make(rule, **options)).train(data)
    config = keras.optimizers.serialize(first.optimizer)
    second = Run(lambda: keras.optimizers.deserialize(copy.deepcopy(config))).train(data)
    np.testing.assert_array_equal(first.weights(), second.weights())


@every_rule
def test_accepts_what_keras_takes_for_a_rate(rule):
    for rate in (1, 0, np.float32(0.5), np.int64(1), 0.1, lambda: 0.1):
        assert float(make(rule, rate).learning_rate) == pytest.approx(
            rate() if callable(rate) else rate
        )


@every_rule
def test_create_fits_the_model(rule):
    model = keras.Sequential(
        [
            keras.Input((4,), dtype="int32"),
            keras.layers.Embedding(7, 6, name="embedding"),
            keras.layers.Flatten(),
            keras.layers.Dense(8, name="hidden"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(3, name="head"),
        ],
        name="net",
    )
    optimizer = keras_gdx.create(
        rule, model=model, learning_rate=0.01, weight_decay=0.1, layer_decay=0.5
    )
    optimizer.build(model.trainable_variables)
    facts = {f.path: f for f in core(optimizer).state.specs}
    decayed = {path for path, f in facts.items() if f.decays}
    assert decayed == {"hidden/kernel", "head/kernel"}
    paths = ("embedding/embeddings", "hidden/kernel", "head/bias")
    assert [facts[path].multiplier for path in paths] == [0.25, 0.5, 1.0]
    assert float(optimizer.learning_rate) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("adafactor", {"min_dim_size_to_factor": 2}),
        ("adagrad", {"rowwise": True, "initial_accumulator_value": 0.5}),
        ("ftrl", {"initial_accumulator_value": 0.5}),
        ("soap", {"max_precondition_dim": 3}),
        ("shampoo", {"block_size": 3, "grafting": "sgd"}),
        ("yogi", {"initial_accumulator_value": 0.5}),
    ],
)
def test_state_follows_arguments_assigned_before_it_is_built(rule, changes):
    assigned, given = make(rule), make(rule, **changes)
    for name, value in changes.items():
        setattr(assigned, name, value)
    for optimizer in (assigned, given):
        optimizer.build([keras.Variable(np.ones((4, 6), "float32"), name="kernel")])
    for a, b in zip(assigned.variables, given.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_first_multiplier_that_matches_counts():
    variables = [keras.Variable(np.ones(2), name=name) for name in ("head_kernel", "kernel")]
    multipliers = {"head": 10.0, "kernel": 0.5, "": 2.0}
    optimizer = keras_gdx.optimizers.SGD(0.1, lr_multipliers=multipliers)
    optimizer.apply([np.ones(2, "float32")] * 2, variables)
    np.testing.assert_allclose([1 - v.numpy()[0] for v in variables], [1.0, 0.05], rtol=1e-5)
