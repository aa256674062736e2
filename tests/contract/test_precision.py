"""Rules compute in float32 or wider, whatever the model computes in."""

import keras
import numpy as np
import pytest

from tests.contract.harness import Run, assert_same, batches
from tests.contract.rules import core, every_rule, make

X, Y = next(batches(1, 64))


@every_rule
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_keeps_dtypes_and_slots_are_wide(rule, dtype):
    run = Run(
        lambda: make(
            rule, weight_decay=0.01, use_ema="free" not in rule, gradient_accumulation_steps=2
        ),
        dtype=dtype,
    )
    run.train(batches(2))
    assert {v.dtype for v in run.model} == {dtype}
    assert np.isfinite(run.weights()).all()
    optimizer = core(run.optimizer)
    slots = [s.read() for slots in optimizer.state.slots for s in slots.values()] + [
        s.read() for s in optimizer.state.sums
    ]
    found = {keras.backend.standardize_dtype(s.dtype) for s in slots}
    assert found <= {"float64" if dtype == "float64" else "float32"}


@every_rule
def test_state_dtype_is_obeyed(rule):
    run = Run(lambda: make(rule, state_dtype="bfloat16")).train(batches(4))
    optimizer = core(run.optimizer)
    for slot in optimizer.all_slots():
        found = {
            keras.backend.standardize_dtype(slots[slot.name].read().dtype)
            for slots in optimizer.state.slots
            if slot.name in slots
        }
        assert found <= {"float32" if slot.init == "variable" else "bfloat16"}
    plain = Run(lambda: make(rule)).train(batches(4))
    np.testing.assert_allclose(run.weights(), plain.weights(), atol=0.05)


@every_rule
def test_eight_bit_state_is_small_and_learns_the_same(rule):
    x = np.random.default_rng(0).normal(size=(256, 64)).astype("float32")
    y = x @ np.random.default_rng(1).normal(size=(64, 64)).astype("float32") / 8
    losses, sizes = [], []
    for state_dtype in (None, "int8"):
        keras.utils.set_random_seed(0)
        net = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64)])
        net.compile(make(rule, 0.003, state_dtype=state_dtype), "mse")
        losses.append(net.fit(x, y, epochs=10, shuffle=False, verbose=0).history["loss"][-1])
        sizes.append(sum(v.numpy().nbytes for v in net.optimizer.variables))
    assert losses[1] < 1.1 * losses[0]
    slots = core(net.optimizer).state.rules[0].all_slots()
    whole = [s for s in slots if s.init == 0 and s.shape((64, 64)) == (64, 64)]
    saved = len(whole) * 64 * 64 * (4 - 1 - 4 / 256)
    assert sizes[0] - sizes[1] == pytest.approx(saved)


@every_rule
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_trains_in_mixed_precision(rule, policy):
    losses = []
    for dtype in (policy, "float32"):
        keras.utils.set_random_seed(0)
        layers = [
            keras.Input((4,)),
            keras.layers.Dense(8, "tanh", dtype=dtype),
            keras.layers.Dense(1, dtype=dtype),
        ]
        net = keras.Sequential(layers)
        net.dtype_policy = dtype
        net.compile(make(rule), "mse")
        losses.append(
            net.fit(X, Y, epochs=3, batch_size=16, shuffle=False, verbose=0).history["loss"][-1]
        )
    assert losses[0] == pytest.approx(losses[1], rel=0.03)


@every_rule
def test_loss_scaling_changes_nothing(rule):
    """A power of two is exact, so the weights are the same to the last bit."""
    data = list(batches(4))
    plain = Run(lambda: make(rule)).train(data)
    dynamic = Run(lambda: keras.optimizers.LossScaleOptimizer(make(rule), initial_scale=1024.0))
    assert_same(dynamic.train(data), plain, atol=1e-6)
    static = Run(lambda: make(rule, loss_scale_factor=1024.0))
    assert_same(static.train(data), plain, atol=1e-6)
