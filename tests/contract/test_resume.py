"""Interrupted and resumed equals uninterrupted, bit for bit, from every kind of file."""

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_gdx
from keras_gdx.engine.state.storage import PartialSums, Plain
from keras_gdx.schedules import Linear
from tests.contract.harness import Run, batches
from tests.contract.rules import core, first_rules, make, rate_of, rules_with, suited

DATA = list(batches(8, 64))


def model(rule, **options):
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((4,)),
        keras.layers.Dense(8, "tanh", name="a"),
        keras.layers.Dense(1, name="b"),
    ]
    net = keras.Sequential(layers, name="net")
    rate = Linear(rate_of(rule, 0.05), 60)
    net.compile(make(rule, rate, gradient_accumulation_steps=3, **options), "mse")
    return net


def train(net, data):
    for x, y in data:
        net.train_on_batch(x, y)
    return net


def weights(net):
    """The trained weights, wherever they currently are."""
    return [v.numpy() for v in net.trainable_variables] + [
        np.asarray(v) for v in net.optimizer.variables
    ]


def restored_from(kind, net, rule, path):
    if kind == "keras":
        net.save(path / "net.keras")
        return keras.models.load_model(path / "net.keras")
    again = train(model(rule), DATA[3:5])  # a model that was trained differently in the meantime
    if kind == "weights":
        net.save_weights(path / "net.weights.h5")
        again.load_weights(path / "net.weights.h5")
    elif kind == "checkpoint":
        saved = tf.train.Checkpoint(model=net, optimizer=net.optimizer).save(
            str(path / "checkpoint")
        )
        status = tf.train.Checkpoint(model=again, optimizer=again.optimizer).restore(saved)
        status.assert_existing_objects_matched()
    return again


@rules_with(kind=["keras", "weights", "checkpoint"])
def test_resumes_exactly_in_the_middle_of_a_window(rule, kind, tmp_path):
    net = train(model(rule), DATA[:4])  # one update, and one micro-batch of the next
    again = restored_from(kind, net, rule, tmp_path)
    for each in (net, again):
        train(each, DATA[4:])
    assert net.optimizer.iterations.numpy() == again.optimizer.iterations.numpy() == 2
    for a, b in zip(weights(net), weights(again), strict=True):
        np.testing.assert_array_equal(a, b)


@first_rules
def test_fit_in_two_parts_equals_fit_in_one(rule, tmp_path):
    """Also where `fit` ends with evaluation weights in the model."""
    options = {"use_ema": True, "weight_decay": 0.1, "state_dtype": "bfloat16"}
    options = suited(rule, options)
    x, y = DATA[0]
    whole, parts = model(rule, **options), model(rule, **options)
    whole.fit(x, y, epochs=4, batch_size=16, shuffle=False, verbose=0)
    parts.fit(x, y, epochs=2, batch_size=16, shuffle=False, verbose=0)
    parts.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    for net in (parts, loaded):
        net.fit(x, y, epochs=4, initial_epoch=2, batch_size=16, shuffle=False, verbose=0)
        for a, b in zip(whole.get_weights(), net.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


@first_rules
def test_state_moves_between_numbers_of_replicas_and_state_dtypes(rule, mirrored, tmp_path):
    data = list(batches(4))
    two = Run(lambda: make(rule), mirrored).train(data[:2])
    store = {}
    core(two.optimizer).save_own_variables(store)
    for options in ({}, {"state_dtype": "bfloat16"}):
        one = Run(lambda: make(rule, **options))
        for v, w in zip(one.model, two.model, strict=True):
            v.assign(w.numpy())
        core(one.optimizer).load_own_variables(store)
        again = {}
        core(one.optimizer).save_own_variables(again)
        assert set(again) == set(store)
        for name in set(store) - {"manifest"}:
            np.testing.assert_allclose(
                again[name], store[name], rtol=1e-2 if options else 0, atol=1e-6 if options else 0
            )


def test_what_variables_keep_together_is_read_and_written_once(monkeypatch):
    """Otherwise the time would grow with the square of their number."""
    weights = [keras.Variable(np.full(3, i, "float32"), name=f"w{i}") for i in range(20)]
    optimizer = keras_gdx.optimizers.AdamW(0.1, gradient_accumulation_steps=2)
    optimizer.build(weights)
    for step in range(3):  # one update, and one micro-batch of the next
        optimizer.apply([np.full(3, 1.0 + i + step, "float32") for i in range(20)], weights)
    kept = optimizer.state.variables
    expected = [np.asarray(v) for v in kept]
    calls = []
    for kind in (Plain, PartialSums):
        for name in ("read", "write_some"):
            real = getattr(kind, name)
            monkeypatch.setattr(
                kind, name, lambda *a, real=real, name=name: calls.append(name) or real(*a)
            )
    store = {}
    optimizer.save_own_variables(store)
    assert calls == ["read"] * 3  # two slots and the accumulators
    for variable in kept:
        variable.assign(variable * 0)
    calls.clear()
    optimizer.load_own_variables(store)
    assert calls.count("write_some") == 3
    for now, before in zip(kept, expected, strict=True):
        assert before.any()
        np.testing.assert_array_equal(np.asarray(now), before)


def test_layers_inside_layers_resume_exactly(tmp_path):
    """Keras gives their variables other paths once the model is loaded."""
    keras.utils.set_random_seed(0)
    inner = keras.Sequential([keras.layers.Dense(4, "tanh"), keras.layers.Dense(4)], name="inner")
    recurrent = keras.layers.Bidirectional(keras.layers.GRU(2))
    layers = [keras.Input((5, 4)), keras.layers.TimeDistributed(inner), recurrent]
    net = keras.Sequential([*layers, keras.layers.Dense(1)])
    net.compile(keras_gdx.create("adamw", model=net, layer_decay=0.8), "mse")
    x, y = np.random.default_rng(0).normal(size=(2, 16, 5, 4)).astype("float32"), np.ones((16, 1))
    net.fit(x[0], y, epochs=2, verbose=0)
    net.save(tmp_path / "net.keras")
    again = keras.models.load_model(tmp_path / "net.keras")
    for each in (net, again):
        each.fit(x[1], y, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(net.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_new_head_restores_the_rest_and_names_what_did_not_match(tmp_path):
    net = train(model("adamw"), DATA[:4])
    net.save_weights(tmp_path / "net.weights.h5")
    layers = [
        keras.Input((4,)),
        keras.layers.Dense(8, "tanh", name="a"),
        keras.layers.Dense(2, name="c"),
    ]
    other = keras.Sequential(layers, name="net")
    other.compile(keras_gdx.optimizers.AdamW(0.05, gradient_accumulation_steps=3), "mse")
    other.optimizer.build(other.trainable_variables)
    store = {}
    net.optimizer.save_own_variables(store)
    with pytest.warns(UserWarning, match="c/kernel") as caught:
        other.optimizer.load_own_variables(store)
    assert len(caught) == 1
    assert "b/kernel" in str(caught[0].message)
    assert "a/kernel" not in str(caught[0].message)
    old, new = (x.optimizer.state.slots[0]["velocity"].read() for x in (net, other))
    np.testing.assert_array_equal(old.numpy(), new.numpy())


def test_the_numbers_that_keras_gives_to_layers_do_not_matter():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden, self.out = keras.layers.Dense(4), keras.layers.Dense(4)

        def call(self, x):
            return self.out(self.hidden(x))

    nets = [Net(), Net()]
    for net in nets:
        net.compile(keras_gdx.optimizers.Lion(0.01), "mse")
        net(np.ones((1, 4), "float32"))
        net.optimizer.build(net.trainable_variables)
    x = np.ones((4, 4), "float32")
    nets[0].train_on_batch(x, x)
    assert nets[0].trainable_variables[0].path != nets[1].trainable_variables[0].path
    store = {}
    nets[0].optimizer.save_own_variables(store)
    nets[1].optimizer.load_own_variables(store)
    for a, b in zip(*(n.optimizer.state.slots for n in nets), strict=True):
        np.testing.assert_array_equal(a["momentum"].read().numpy(), b["momentum"].read().numpy())


def test_state_of_another_rule_is_not_for_this_one():
    net, other = train(model("adamw"), DATA[:3]), train(model("lion"), DATA[:3])
    store = {}
    other.optimizer.save_own_variables(store)
    before = copy.deepcopy(weights(net))
    with pytest.warns(UserWarning, match="state of Lion, so AdamW keeps its current state"):
        net.optimizer.load_own_variables(store)
    for a, b in zip(before, weights(net), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_newer_format_is_refused():
    net = train(model("sgd"), DATA[:1])
    store = {}
    net.optimizer.save_own_variables(store)
    text = bytes(store["manifest"]).decode().replace('"format": 1', '"format": 9')
    store["manifest"] = np.frombuffer(text.encode(), "uint8")
    with pytest.raises(ValueError, match="newer keras_gdx"):
        net.optimizer.load_own_variables(store)
