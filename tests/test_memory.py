"""The sizes that `memory` reports before training are those that training allocates."""

from itertools import product

import keras
import pytest

import keras_gdx
from keras_gdx.backends import backend
from keras_gdx.engine.state.storage import BLOCK
from tests.contract.rules import FIRST, RULES


def network():
    inputs = keras.Input((24,))
    x = keras.layers.Dense(96, "relu")(inputs)
    x = keras.layers.BatchNormalization()(x)
    return keras.Model(inputs, keras.layers.Dense(48)(x))


def allocated(variables):
    return sum(v.numpy().nbytes for v in variables)


OPTIONS = [
    {"state_dtype": "int8"},
    {"state_dtype": "bfloat16", "gradient_accumulation_steps": 2},
    {"fused": False, "use_ema": True},
]


@pytest.mark.parametrize(
    ("rule", "options"), [*product(RULES, [{}]), *product(FIRST, OPTIONS)], ids=str
)
def test_is_what_is_allocated(rule, options):
    if "free" in rule and "use_ema" in options:
        pytest.skip("its weights are an average already")
    net = network()
    before = keras_gdx.memory(net, rule, **options)
    net.compile(keras_gdx.create(rule, net, **options), "mse")
    net.optimizer.build(net.trainable_variables)
    assert before.weights == allocated(net.variables)
    assert before.gradients == allocated(net.trainable_variables)
    state = before.state + before.averages + before.sums
    assert state == pytest.approx(allocated(net.optimizer.variables), rel=0.01, abs=64)
    assert keras_gdx.memory(net, net.optimizer) == before


def test_kahan_costs_what_a_weight_costs():
    keras.config.set_dtype_policy("bfloat16")
    try:
        net = network()
    finally:
        keras.config.set_dtype_policy("float32")
    plain, careful = (keras_gdx.memory(net, "sgd", precision=p) for p in (None, "kahan"))
    assert careful.state - plain.state == plain.gradients


def test_eight_bit_adamw_keeps_about_two_bytes():
    net = keras.Sequential([keras.Input((1024,)), keras.layers.Dense(1024)])
    found = keras_gdx.memory(net, "adamw", state_dtype="int8")
    assert found.state / (1024 * 1025) < 2.2
    assert found.state > 2 * 1024 * 1024 * (1 + 4 / BLOCK)


def test_an_update_needs_room_for_the_tensors_that_it_joins_or_copies():
    """As `python -m benchmarks.peak_memory` measures."""
    large = keras.Sequential([keras.Input((1024,)), keras.layers.Dense(1024, use_bias=False)])
    size = large.count_params() * 4
    assert keras_gdx.memory(large, "lion").update == size
    assert keras_gdx.memory(large, "adamw", state_dtype="int8").update == size
    small = keras.Sequential([keras.Input((8,)), *(keras.layers.Dense(8) for _ in range(4))])
    found = keras_gdx.memory(small, "adamw")
    assert found.update == 4 * (4 * 4 * 8 * 8)  # the kernels, which alone decay
    assert found.peak == found.total + found.update
    batch = keras_gdx.memory(small, "adamw", batch_size=10_000)
    assert batch.peak == batch.total  # the activations are gone before the update


@pytest.mark.parametrize("cores", [1, 2, 9])
def test_an_update_needs_room_for_what_matrices_are_multiplied_in(cores, monkeypatch):
    """Compiled updates run side by side; what others compute may exist for all variables."""
    monkeypatch.setattr(backend, "programs_at_once", lambda: cores)
    layers = [keras.layers.Dense(512, use_bias=False) for _ in range(4)]
    net = keras.Sequential([keras.Input((512,)), *layers])
    compiled = {"muon": 2, "normuon": 2, "kron": 4 * 2 + 1, "lion": 0}
    together = {"soap": 2 * 2, "shampoo": 2 + 1, "prodigy": 1}
    counts = dict.fromkeys(compiled, min(cores, 4)) | dict.fromkeys(together, 4)
    found = {rule: keras_gdx.memory(net, keras_gdx.create(rule)).update for rule in counts}
    expected = {rule: 1 + counts[rule] * each for rule, each in (compiled | together).items()}
    assert found == {rule: copies * 4 * 512 * 512 for rule, copies in expected.items()}


def test_activations_follow_the_share_of_a_batch():
    net = network()
    alone = keras_gdx.memory(net, "sgd", batch_size=64)
    assert alone.activations == 4 * 64 * (24 + 96 + 96 + 48)
    shared = keras_gdx.memory(net, "sgd", batch_size=64, replicas=4)
    assert shared.activations == alone.activations // 4
    assert alone.total == alone.weights + alone.gradients + alone.state + alone.activations


def test_the_table_has_every_rule_and_prints():
    table = keras_gdx.memory(network())
    assert {m.rule for m in table} == set(keras_gdx.list(kind="optimizer"))
    assert [m.state for m in table] == sorted(m.state for m in table)
    assert len(str(table).splitlines()) == len(table) + 1
    assert str(table[0]).splitlines()[1] in str(table)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda net: keras_gdx.memory("net"), "a Keras model"),
        (lambda net: keras_gdx.memory(keras.Sequential([keras.layers.Dense(1)])), "built"),
        (lambda net: keras_gdx.memory(net, "adam", batch_size=0), "batch_size"),
        (lambda net: keras_gdx.memory(net, "adam", replicas=0), "replicas"),
        (lambda net: keras_gdx.memory(net, "adamm"), "adam"),
        (lambda net: keras_gdx.memory(net, "adam", state_dtype="int4"), "state_dtype"),
        (
            lambda net: keras_gdx.memory(net, keras_gdx.optimizers.Adam(), use_ema=True),
            "has its own",
        ),
    ],
)
def test_bad_input(call, match):
    with pytest.raises(ValueError, match=match):
        call(network())
