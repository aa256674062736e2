"""N replicas take the step that one device takes on the same global batch."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_gdx
from keras_gdx import modifiers
from keras_gdx.schedules import Constant
from tests.contract.harness import START, Run, assert_same, batches, collectives
from tests.contract.rules import FIRST, core, first_rules, make, rules_with, suited

OPTIONS = {
    "accumulation": {"gradient_accumulation_steps": 2},
    "ema": {
        "use_ema": True,
        "ema_momentum": 0.8,
        "ema_overwrite_frequency": 3,
        "clipvalue": 0.05,
    },
    "decay": {
        "weight_decay": Constant(0.1),
        "no_decay": ["bias"],
        "lr_multipliers": {"kernel": 0.5},
        "global_clipnorm": 0.5,
        "skip_nonfinite": True,
        "loss_scale_factor": 8.0,
    },
    "modifiers": {
        "before": [modifiers.Grokfast(0.5)],
        "after": [modifiers.Cautious()],
        "clipnorm": 0.3,
    },
    "bfloat16_state": {"state_dtype": "bfloat16"},
    "all_together": {
        "gradient_accumulation_steps": 2,
        "global_clipnorm": 0.5,
        "use_ema": True,
        "weight_decay": 0.1,
        "skip_nonfinite": True,
    },
}


@rules_with(option=[each for each in OPTIONS if each != "all_together"])  # `test_every_rule` has it
def test_two_replicas_equal_one(rule, option, mirrored):
    options = suited(rule, OPTIONS[option])
    data = list(batches(5))

    def build():
        return make(rule, **options)

    tolerance = {"atol": 1e-3} if "state_dtype" in options else {}
    two, one = Run(build, mirrored).train(data), Run(build).train(data)
    for run in (two, one):
        run.optimizer.flush()
    assert_same(two, one, **tolerance)
    sums = {id(bucket.total) for bucket in core(two.optimizer).state.buckets}
    for v in two.optimizer.variables:  # only replica 0's copy is saved
        if id(v) in sums:  # each replica's own, of a window that is closed
            continue
        copies = [np.asarray(x) for x in mirrored.experimental_local_results(v.value)]
        np.testing.assert_array_equal(*copies, err_msg=v.path)


@first_rules
def test_infinity_on_any_replica_is_no_step(rule, mirrored):
    (x, y), *_ = batches(1)
    poisoned = x.copy()
    poisoned[-1] = np.inf  # on the second replica
    run = Run(lambda: make(rule, skip_nonfinite=True), mirrored).train([(x, y)])
    weights, state = run.weights(), run.state()
    run.train([(poisoned, y)])
    np.testing.assert_array_equal(run.weights(), weights)
    for before, after in zip(state, run.state(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert run.optimizer.iterations.numpy() == 1


@pytest.mark.parametrize(
    ("rule", "dtype"), [*((rule, "bfloat16") for rule in FIRST), ("adam", "float16")]
)
def test_gradients_travel_in_sixteen_bits(rule, dtype, mirrored):
    """Half the bytes; the rounding error of the step is the same on both replicas."""
    x, y = next(batches(1))
    run = Run(lambda: make(rule, reduce_dtype=dtype), mirrored)
    sent, _ = collectives(run, (x, y))
    assert {op.get_attr("T").name for op in sent if "Reduce" in op.type} == {dtype}
    run.train([(x, y)])
    for v in [*run.model, *run.optimizer.variables]:
        copies = [np.asarray(c) for c in mirrored.experimental_local_results(v.value)]
        np.testing.assert_array_equal(*copies, err_msg=v.path)
        assert v.dtype != dtype


@pytest.mark.parametrize(("dtype", "bits"), [("bfloat16", 8), ("float16", 11)])
def test_sums_that_travel_in_sixteen_bits_are_rounded_to_these_bits(dtype, bits, mirrored):
    data = list(batches(1))

    def step(**options):
        run = Run(lambda: keras_gdx.optimizers.SGD(1.0, **options), mirrored).train(data)
        return START - run.weights()

    exact, rounded = step(), step(reduce_dtype=dtype)
    parts = [Run(lambda: keras_gdx.optimizers.SGD(1.0)).train([(x[h], y[h])]) for x, y in data
             for h in (slice(8), slice(8, 16))]  # fmt: skip
    sizes = sum(np.abs(START - part.weights()) for part in parts) + np.abs(exact)
    error = np.abs(rounded - exact)
    assert error.max() > 0
    assert (error <= sizes * 2.0**-bits + 1e-6).all()  # one rounding each, and that of the sum


@first_rules
def test_trains_in_fit_under_a_strategy(rule, mirrored):
    x, y = next(batches(1, 64))
    results = []
    for strategy in (mirrored, None):
        keras.utils.set_random_seed(0)
        with (strategy or tf.distribute.get_strategy()).scope():
            net = keras.Sequential(
                [keras.Input((4,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)]
            )
            net.compile(make(rule), "mse")
        net.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
        results.append(np.concatenate([w.ravel() for w in net.get_weights()]))
    np.testing.assert_allclose(*results, atol=5e-6)


def test_refuses_to_step_outside_of_replicas(mirrored):
    with mirrored.scope():
        w = keras.Variable([1.0])
        optimizer = keras_gdx.optimizers.SGD(0.1)
        optimizer.build([w])
        with pytest.raises(ValueError, match=r"strategy\.run"):
            optimizer.apply([tf.constant([1.0])], [w])
