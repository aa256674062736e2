"""Replicas with sharded state take the step of one device with the complete state."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_gdx
from keras_gdx import modifiers, optimizers
from keras_gdx.callbacks import ResumableCheckpoint
from keras_gdx.registry import REGISTRY
from tests.contract.harness import assert_same, batches
from tests.contract.rules import (
    FIRST,
    WRAPPERS,
    core,
    make,
    rules_with,
    suited,
)
from tests.contract.test_replicas import OPTIONS
from tests.contract.tower import Tower
from tests.matrix import WHOLE_MATRIX

DIVISIBLE = [rule for rule in FIRST if REGISTRY[rule].cls.divisible]
ALL = OPTIONS | {
    "kahan": {"precision": "kahan"},
    "one by one": {"fused": False},
    "programs": {"fused": True},
}
SOME = ["modifiers", "kahan", "programs"]  # the others together are in `test_every_rule`
CHOSEN = [*ALL] if WHOLE_MATRIX else SOME


def stored(optimizer, replica):
    """Bytes of the optimizer's variables on one replica."""
    native = [v.value for v in optimizer.variables]
    return sum(getattr(v, "values", [v])[replica].numpy().nbytes for v in native)


@rules_with(DIVISIBLE, option=CHOSEN)
def test_two_replicas_with_pieces_equal_one(rule, option, mirrored):
    options = suited(rule, ALL[option])
    if rule in WRAPPERS and "precision" in options:
        pytest.skip("synchronization rounds weights")
    data = list(batches(5))
    # 16-bit gradients have other sums on one device, so two replicas are compared with two
    dtype, other = ("bfloat16", mirrored) if "precision" in options else ("float32", None)
    tolerance = {"atol": 1e-3} if "state_dtype" in options else {}
    two = Tower(lambda: make(rule, shard_state=True, **options), mirrored, dtype=dtype).train(data)
    one = Tower(lambda: make(rule, **options), other, dtype=dtype).train(data)
    for run in (two, one):
        run.optimizer.flush()
    assert_same(two, one, **tolerance)
    for mine, its in zip(two.slots(), one.slots(), strict=True):
        np.testing.assert_allclose(mine, its, **{"atol": 5e-6, "rtol": 1e-3} | tolerance)
    for v in two.model:
        copies = [np.asarray(x) for x in mirrored.experimental_local_results(v.value)]
        np.testing.assert_array_equal(*copies, err_msg=v.path)
    groups = core(two.optimizer).state.buckets
    assert any(group.replicas == 2 for group in groups), "nothing was shared, so nothing was tested"


@pytest.mark.parametrize("rule", ["adamw", "muon", "lamb", "adafactor", "schedulefree"])
def test_a_replica_keeps_its_share(rule, mirrored):
    """`memory` reports this size beforehand."""

    def state(**options):
        with mirrored.scope():
            net = network()
            net.compile(make(rule, **options), "mse")
            net.optimizer.build(net.trainable_variables)
        sizes = {stored(net.optimizer, replica) for replica in range(2)}
        planned = keras_gdx.memory(net, net.optimizer, replicas=2)
        (size,) = sizes
        assert size == pytest.approx(planned.state + planned.averages + planned.sums, abs=64)
        return size

    assert state(shard_state=True) == pytest.approx(state() / 2, rel=0.02)


def network(width=64, depth=4):
    layers = [keras.layers.Dense(width, "tanh") for _ in range(depth)]
    return keras.Sequential([keras.Input((width,)), *layers, keras.layers.Dense(1)])


def examples():
    x = np.random.default_rng(0).normal(size=(32, 64)).astype("float32")
    return x, x[:, :1] * x[:, 1:2]


def test_eight_bits_are_the_same_bits(mirrored):
    """Shards consist of complete blocks of codes; neither 70 x 61 nor its half is a multiple."""
    rng = np.random.default_rng(0)
    data = [rng.normal(size=(70, 61)).astype("float32") for _ in range(3)]

    def codes(**options):
        with mirrored.scope():
            w = keras.Variable(data[0], name="w")
            optimizer = optimizers.Adam(0.1, state_dtype="int8", fused=False, **options)
            optimizer.build([w])

        step = tf.function(lambda g: mirrored.run(lambda: optimizer.apply([tf.identity(g)], [w])))
        for gradient in data:
            step(tf.constant(gradient))
        return [w.numpy(), *(np.asarray(slot.read()) for slot in optimizer.state.slots[0].values())]

    for mine, its in zip(codes(shard_state=True), codes(), strict=True):
        np.testing.assert_array_equal(mine, its)


@pytest.mark.parametrize(
    ("rule", "state_dtype"), [("adamw", "int8"), ("muon", None), ("schedulefreeadamw", "int8")]
)
@pytest.mark.parametrize("there", [True, False])
def test_a_file_is_read_at_another_number_of_replicas(rule, state_dtype, there, mirrored, tmp_path):
    """State saved by two replicas is loaded by one device, and the other way round."""
    x, y = examples()
    one = tf.distribute.get_strategy()
    path = str(tmp_path / "model.keras")

    def fit(net):
        net.fit(x, y, batch_size=16, epochs=1, shuffle=False, verbose=0)
        return net.get_weights()

    with (mirrored if there else one).scope():
        net = network()
        net.compile(make(rule, shard_state=True, state_dtype=state_dtype), "mse")
    fit(net)
    net.save(path)
    onward = fit(net)
    with (one if there else mirrored).scope():
        loaded = keras.saving.load_model(path)
    assert loaded.optimizer.shard_state
    tolerance = 2e-3 if state_dtype else 2e-6
    for mine, its in zip(fit(loaded), onward, strict=True):
        np.testing.assert_allclose(mine, its, atol=tolerance)


@pytest.mark.parametrize("there", [True, False])
def test_a_file_from_the_middle_of_a_window_has_what_all_replicas_have_summed(
    there, mirrored, tmp_path
):
    x, y = examples()
    one, path = tf.distribute.get_strategy(), str(tmp_path / "model.keras")

    class Save(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                self.model.save(path)

    def fit(net, rest, *callbacks):
        net.fit(x[rest:], y[rest:], batch_size=8, shuffle=False, verbose=0, callbacks=callbacks)
        return net.get_weights()

    with (mirrored if there else one).scope():
        net = network()
        net.compile(make("sgd", gradient_accumulation_steps=4), "mse")
    onward = fit(net, 0, Save())
    with (one if there else mirrored).scope():
        loaded = keras.saving.load_model(path)
    assert loaded.optimizer.state.count.numpy() == 2
    for mine, its in zip(fit(loaded, 16), onward, strict=True):
        np.testing.assert_allclose(mine, its, atol=2e-6)


def test_training_that_was_interrupted_goes_on_with_all_pieces(mirrored, tmp_path):
    x, y = examples()

    def fit(folder, stop=None):
        keras.utils.set_random_seed(0)
        with mirrored.scope():
            net = network(depth=1)
            net.compile(make("adamw", shard_state=True, state_dtype="int8"), "mse")
        keeping = [ResumableCheckpoint(str(tmp_path / folder), every="1 steps")]
        try:
            net.fit(x, y, batch_size=16, epochs=3, verbose=0, callbacks=[*keeping, *(stop or [])])
        except InterruptedError:
            return None
        return net.get_weights()

    class Interrupted(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if int(self.model.optimizer.iterations.numpy()) == 6:
                raise InterruptedError

    whole = fit("whole")
    assert fit("cut", [Interrupted()]) is None
    for mine, its in zip(fit("cut"), whole, strict=True):
        np.testing.assert_array_equal(mine, its)


def test_another_number_of_replicas_cannot_make_a_step(mirrored):
    with mirrored.scope():
        w = keras.Variable([1.0, 2.0])
        optimizer = optimizers.AdamW(0.1, shard_state=True)
        optimizer.build([w])
    one = tf.distribute.OneDeviceStrategy("CPU:0")
    with pytest.raises(ValueError, match="with 2 replicas"):
        one.run(lambda: optimizer.apply([tf.constant([1.0, 1.0])], [w]))
    np.testing.assert_array_equal(w.numpy(), [1.0, 2.0])


def test_is_built_where_the_first_step_is_made(mirrored):
    """`init="variable"` is filled with the weights before the step."""
    with mirrored.scope():
        w = keras.Variable([1.0, 2.0, 3.0])
        optimizer = optimizers.ScheduleFreeSGD(0.1, shard_state=True)

    @tf.function
    def step():
        mirrored.run(lambda: optimizer.apply([tf.constant([1.0, 1.0, 1.0])], [w]))

    step()
    (z,) = optimizer.state.slots[0].values()
    np.testing.assert_allclose(z.read(), [0.8, 1.8, 2.8], rtol=1e-6)  # both replicas' gradient


def test_is_exported_from_one_device(mirrored, tmp_path):
    with mirrored.scope():
        net = network()
        net.compile(make("adamw", shard_state=True), "mse")
    net.fit(*examples(), verbose=0)
    with pytest.raises(ValueError, match="outside a strategy"):
        keras_gdx.export(net, str(tmp_path / "exported"))
    assert not (tmp_path / "exported").exists()
    net.save(tmp_path / "model.keras")
    keras_gdx.export(keras.saving.load_model(tmp_path / "model.keras"), str(tmp_path / "exported"))


@pytest.mark.parametrize("replicas", [2, 4, 8, 1000])
def test_memory_tells_what_many_replicas_will_need(replicas):
    net = network()
    whole = keras_gdx.memory(net, "adamw", replicas=replicas)
    share = keras_gdx.memory(net, "adamw", replicas=replicas, shard_state=True)
    assert share.gradients == whole.gradients
    pieces = 8 * -(-4 * 64 * 64 // replicas) + 8 * -(-(4 * 64 + 65) // replicas)
    assert share.state == pytest.approx(pieces, abs=200)


def test_one_replica_keeps_all():
    net = network()
    assert keras_gdx.memory(net, "adamw", shard_state=True) == keras_gdx.memory(net, "adamw")


def test_modifiers_that_mix_entries_share_whole_tensors():
    net = network()
    options = {"after": [modifiers.Cautious()], "replicas": 2}
    whole = keras_gdx.memory(net, "adamw", **options)
    share = keras_gdx.memory(net, "adamw", shard_state=True, **options)
    assert share.state == pytest.approx(whole.state / 2, rel=0.02)


@pytest.mark.parametrize(
    ("argument", "make"),
    [
        ("shard_state", lambda: optimizers.DoG(shard_state=True)),
        ("shard_state", lambda: optimizers.AdamW(shard_state=1)),
        ("sparse", lambda: optimizers.AdamW(shard_state=True, sparse="lazy")),
        ("inner.shard_state", lambda: optimizers.LocalSteps(optimizers.SGD(shard_state=True))),
    ],
)
def test_what_cannot_be_is_refused(argument, make):
    with pytest.raises(ValueError, match=argument):
        make()
