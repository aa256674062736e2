"""Rules compute in float32 or wider, whatever the dtype of the model."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_gdx.arguments import PositiveFloat, PositiveInt
from keras_gdx.backends import backend
from keras_gdx.engine.low_precision import LOST
from keras_gdx.engine.state.storage import EightBit
from keras_gdx.optimizers import LossScaleOptimizer
from keras_gdx.optimizers.slots import UNSET
from tests.contract.harness import Run, assert_same, batches
from tests.contract.rules import (
    FIRST,
    core,
    every_rule,
    first_rules,
    make,
    rate_for,
    rules_with,
    suited,
)
from tests.declared import wrong_values

X, Y = next(batches(1, 64))


@rules_with(dtype=["bfloat16", "float16", "float64"])
def test_keeps_dtypes_and_slots_are_wide(rule, dtype):
    options = {"weight_decay": 0.01, "use_ema": True, "gradient_accumulation_steps": 2}
    run = Run(lambda: make(rule, **suited(rule, options)), dtype=dtype).train(batches(2))
    assert {v.dtype for v in run.model} == {dtype}
    assert np.isfinite(run.weights()).all()
    optimizer = core(run.optimizer)
    slots = [s.read() for slots in optimizer.state.slots for s in slots.values()] + [
        s.read() for s in optimizer.state.accumulators
    ]
    found = {keras.backend.standardize_dtype(s.dtype) for s in slots}
    assert found <= {"float64" if dtype == "float64" else "float32"}


@every_rule
def test_where_float64_is_the_usual_dtype(rule):
    """Keras then also makes integers of 64 bits."""
    shapes = (4, 3), (2, 2, 3, 2), (3,), ()
    found = {}
    for floatx in ("float32", "float64"):
        keras.config.set_floatx(floatx)
        try:
            trained = [keras.Variable(np.ones(shape), dtype="float64") for shape in shapes]
            optimizer = make(rule)
            optimizer.build(trained)
            rng = np.random.default_rng(0)
            for _ in range(3):
                optimizer.apply([ops.convert_to_tensor(rng.normal(size=s)) for s in shapes])
            found[floatx] = [v.numpy() for v in trained]
        finally:
            keras.config.set_floatx("float32")
    for a, b in zip(*found.values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


@first_rules
def test_state_dtype_is_obeyed(rule):
    run = Run(lambda: make(rule, state_dtype="bfloat16")).train(batches(4))
    optimizer = core(run.optimizer)
    for slot in optimizer.all_slots():
        found = {
            keras.backend.standardize_dtype(slots[slot.name].read().dtype)
            for slots in optimizer.state.slots
            if slot.name in slots
        }
        wide = slot.exact or slot.init == "variable"
        assert found <= {"float32" if wide else "bfloat16"}
    plain = Run(lambda: make(rule)).train(batches(4))
    np.testing.assert_allclose(run.weights(), plain.weights(), atol=0.05)


@every_rule
def test_eight_bit_state_is_small_and_learns_the_same(rule):
    x = np.random.default_rng(0).normal(size=(256, 64)).astype("float32")
    solution = np.random.default_rng(1).normal(size=(64, 64)).astype("float32") / 8
    losses, sizes = [], []
    for state_dtype in (None, "int8"):
        w = keras.Variable(np.zeros((64, 64), "float32"))
        optimizer = make(rule, 0.003, state_dtype=state_dtype)
        optimizer.build([w])

        @tf.function(autograph=False)
        def step(batch):
            error = batch @ (w.value - solution)
            optimizer.apply([tf.transpose(batch) @ error / 1024], [w])

        for _ in range(10):
            for batch in np.split(x, 8):
                step(tf.constant(batch))
        losses.append(np.mean((x @ (w.numpy() - solution)) ** 2))
        sizes.append(sum(v.numpy().nbytes for v in optimizer.variables))
    assert losses[0] < np.mean((x @ solution) ** 2)
    assert losses[1] < 1.1 * losses[0]
    slots = core(optimizer).state.rules[0].all_slots()
    coded = [s for s in slots if s.init in (0, UNSET) and not s.exact]
    whole = [s for s in coded if s.shape((64, 64)) == (64, 64)]
    saved = len(whole) * 64 * 64 * (4 - 1 - 4 / 256)
    assert sizes[0] - sizes[1] == pytest.approx(saved)


@pytest.mark.parametrize(
    ("rule", "policy"), [*((rule, "mixed_float16") for rule in FIRST), ("adam", "mixed_bfloat16")]
)
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


@first_rules
def test_loss_scaling_changes_nothing(rule):
    """A power of two is exact, so the weights are equal bit for bit."""
    data = list(batches(4))
    plain = Run(lambda: make(rule)).train(data)
    dynamic = Run(lambda: keras.optimizers.LossScaleOptimizer(make(rule), initial_scale=1024.0))
    assert_same(dynamic.train(data), plain, atol=1e-6)
    static = Run(lambda: make(rule, loss_scale_factor=1024.0))
    assert_same(static.train(data), plain, atol=1e-6)


# -- weights in 16 bits ----------------------------------------------------------------------


def crept(precision, dtype="bfloat16", mode="graph", steps=300, **options):
    """Weights of 1 after many updates of 0.001, far below the resolution of bfloat16."""
    w = keras.Variable(np.ones(2000), dtype=dtype)
    optimizer = make("sgd", 0.001, precision=precision, **options)
    optimizer.build([w])
    gradient = tf.ones(2000, dtype)

    def step():
        optimizer.apply([gradient], [w])

    if mode != "eager":
        step = tf.function(step, jit_compile=mode == "xla", autograph=False)
    for _ in range(steps):
        step()
    return np.asarray(ops.cast(w, "float64"))


def test_plain_bfloat16_stalls_and_the_others_arrive():
    assert (crept(None) == 1).all()
    kahan, chance = crept("kahan"), crept("stochastic")
    np.testing.assert_allclose(kahan, 0.7, rtol=2**-8)
    assert abs(chance.mean() - 0.7) < 0.002
    assert 0.001 < chance.std() < 0.1
    np.testing.assert_allclose(crept("kahan", "float16"), 0.7, rtol=2**-10)


@pytest.mark.parametrize("precision", ["kahan", "stochastic"])
def test_rounding_is_the_same_however_the_step_is_run(precision):
    expected = crept(precision, steps=20)
    for options in ({"mode": "xla"}, {"mode": "eager"}, {"fused": True}, {"fused": False}):
        np.testing.assert_array_equal(crept(precision, steps=20, **options), expected)


def test_rounding_by_chance_is_right_on_average():
    x = np.linspace(-3, 3, 601).astype("float32")
    seeds = [tf.constant([float(i), 0.0]) for i in range(400)]
    rounded = np.stack(
        [np.asarray(tf.cast(backend.stochastically_rounded(x, s), "float64")) for s in seeds]
    )
    spacing = 2.0 ** (np.floor(np.log2(np.maximum(np.abs(x), 1e-30))) - 7)
    assert (np.abs(rounded - x) < spacing).all()
    assert (np.abs(rounded.mean(0) - x) < 4 * spacing / 2 / 400**0.5).all()
    special = tf.constant([np.inf, -np.inf, np.nan, 0.0])
    found = np.asarray(tf.cast(backend.stochastically_rounded(special, seeds[0]), "float32"))
    np.testing.assert_array_equal(found, special.numpy())


def way(rule, dtype, precision=None):
    """The change of weights of 1, rounding error included, in steps below bfloat16 resolution."""
    w = keras.Variable(np.ones((64, 64)), dtype=dtype)
    options = {} if precision is None else {"precision": precision}
    optimizer = make(rule, rate_for(rule, 2e-4), **options)
    optimizer.build([w])
    gradient = tf.cast(np.random.default_rng(0).normal(size=(64, 64)), dtype)
    step = tf.function(lambda: optimizer.apply([gradient], [w]), autograph=False)
    for _ in range(20):
        step()
    slots = core(optimizer).state.slots[0]
    kept = ops.cast(slots[LOST].read(), "float64") if LOST in slots else 0.0
    return np.asarray(ops.cast(w, "float64") + kept) - 1


@first_rules
def test_sixteen_bit_weights_go_the_way_of_wide_ones(rule):
    """As a share of the change in float32; without `precision`, most of it is lost."""
    wide = way(rule, "float32")

    def share(precision):
        return (way(rule, "bfloat16", precision) * wide).sum() / (wide**2).sum()

    assert share(None) < 0.2
    if rule == "lookahead":
        for precision in ("kahan", "stochastic"):
            with pytest.raises(ValueError, match=r"inner\.precision"):
                make(rule, precision=precision)
        return
    assert abs(share("kahan") - 1) < 0.02
    assert abs(share("stochastic") - 1) < 0.3


@first_rules
def test_precision_does_nothing_to_wide_weights(rule):
    if rule == "lookahead":
        pytest.skip("has none, and says so")
    plain = Run(lambda: make(rule)).train(batches(3))
    careful = Run(lambda: make(rule, precision="kahan")).train(batches(3))
    np.testing.assert_array_equal(plain.weights(), careful.weights())
    assert len(plain.optimizer.variables) == len(careful.optimizer.variables)


def test_wide_and_narrow_weights_of_one_shape_do_not_share_a_program():
    variables = [keras.Variable(np.ones((4, 4)), dtype=d) for d in ("float32", "bfloat16")]
    optimizer = make("sgd", 0.001, precision="kahan", fused=True)
    optimizer.build(variables)
    gradients = [tf.ones((4, 4), v.dtype) for v in variables]
    step = tf.function(lambda: optimizer.apply(gradients, variables), autograph=False)
    for _ in range(100):
        step()
    np.testing.assert_allclose(variables[0], 0.9, rtol=1e-5)
    np.testing.assert_allclose(ops.cast(variables[1], "float32"), 0.9, rtol=2**-8)


@pytest.mark.parametrize("jit_compile", [True, False], ids=["xla", "graph"])
@pytest.mark.parametrize("shape", [(300, 301), (2**16 + 7,), (5, 7), ()], ids=str)
def test_energy_is_the_sum_of_squares_however_it_is_added_up(shape, jit_compile):
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    found = tf.function(backend.energy, jit_compile=jit_compile, autograph=False)(tf.constant(x))
    np.testing.assert_allclose(found, (x.astype("float64") ** 2).sum(), rtol=1e-5)


@pytest.mark.parametrize("mode", ["graph", "xla", "eager"])
@pytest.mark.parametrize("scale", [None, 0.5])
def test_large_gradients_are_finite_though_their_squares_are_not(mode, scale):
    w = keras.Variable(np.ones(8, "float32"))
    optimizer = make("lion", 0.1, skip_nonfinite=True, loss_scale_factor=scale)
    optimizer.build([w])

    def apply(gradient):
        optimizer.apply([gradient], [w])

    step = apply if mode == "eager" else tf.function(apply, jit_compile=mode == "xla")
    step(tf.fill([8], 1e30))
    np.testing.assert_allclose(w, 0.9, rtol=1e-6)
    step(tf.constant([1.0] * 7 + [np.inf]))
    np.testing.assert_allclose(w, 0.9, rtol=1e-6)
    if scale:  # finite, but not after unscaling
        step(tf.fill([8], 3e38))
        np.testing.assert_allclose(w, 0.9, rtol=1e-6)


def test_rounding_by_chance_is_refused_for_float16():
    with pytest.raises(ValueError, match="bfloat16 weights only"):
        crept("stochastic", "float16", steps=1)


# -- state in eight bits ---------------------------------------------------------------------


def eight_bits(shape, signed, block=256):
    blocks = -(-np.prod(shape) // block)
    codes = keras.Variable(np.zeros((blocks, block)), dtype="int8" if signed else "uint8")
    scales = keras.Variable(np.zeros((blocks, 1), "float32"))
    return EightBit(codes, scales, shape, signed=signed)


@pytest.mark.parametrize("signed", [True, False])
def test_codes_are_within_half_a_step_of_the_values(signed):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(100, 91)) * 10.0 ** rng.integers(-8, 3, (100, 1))).astype("float32")
    x = x if signed else np.abs(x)
    blocks = -(-x.size // 256)
    storage = eight_bits(x.shape, signed)
    storage.write(x)
    found = np.asarray(storage.read(), "float64")
    scale = np.abs(np.pad(x.ravel(), (0, blocks * 256 - x.size)).reshape(blocks, 256)).max(1)
    scale = np.repeat(scale, 256)[: x.size].reshape(x.shape).astype("float64")
    power, levels = (2, 127) if signed else (4, 255)
    # A code's position is at most half a step off: |x| = scale * position ** power.
    place = (np.abs(x) / scale) ** (1 / power)
    most = scale * ((place + 0.5001 / levels) ** power - place**power)
    assert (np.abs(found - x) <= most + 1e-6 * scale / levels).all()
    storage.write(found.astype("float32"))
    np.testing.assert_allclose(np.asarray(storage.read()), found, rtol=1e-5)


@pytest.mark.parametrize("jit_compile", [True, False], ids=["xla", "graph"])
@pytest.mark.parametrize("block", [256, 255, 6])
@pytest.mark.parametrize("signed", [True, False])
def test_what_is_decoded_has_the_same_codes_again(signed, block, jit_compile):
    """For all codes, and for scales from the smallest number to the largest."""
    tiny, largest = np.finfo("float32").tiny, np.finfo("float32").max
    scales = np.float32([[tiny], [1e-34], [1e-29], [0.1], [3], [largest]])
    low, high = (-127, 127) if signed else (0, 255)
    codes = np.resize(np.arange(low, high + 1), 2 * 256 * len(scales) * block)
    codes = codes.reshape(-1, len(scales), block)
    codes[..., 0] = high  # the value that is the scale
    values = scales * (codes / high) ** 4
    if signed:
        values = scales * np.sign(codes) * (codes / high) ** 2
    codes = np.where(np.abs(values) < tiny, 0, codes).reshape(-1, block)
    scales = np.tile(scales, (len(codes) // len(scales), 1))
    storage = eight_bits((codes.size,), signed, block)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def again(codes, scales):
        return storage.encode(storage.decode([codes, scales]))

    dtype = storage.variables[0].dtype
    found, found_scales = again(tf.constant(codes, dtype), tf.constant(scales))
    np.testing.assert_array_equal(found, codes)
    np.testing.assert_array_equal(found_scales, scales)


@every_rule
def test_zero_and_non_finite_values_survive_eight_bits(rule):
    w = keras.Variable(np.ones((64, 80), "float32"))
    optimizer = make(rule, state_dtype="int8", skip_nonfinite=True)
    optimizer.build([w])
    optimizer.apply([np.zeros((64, 80), "float32")], [w])
    assert np.isfinite(w.numpy()).all()
    before = w.numpy()
    optimizer.apply([np.full((64, 80), np.inf, "float32")], [w])
    np.testing.assert_array_equal(w.numpy(), before)


@pytest.mark.parametrize(
    ("name", "hint"), [("initial_scale", PositiveFloat), ("dynamic_growth_steps", PositiveInt)]
)
def test_loss_scaling_refuses_wrong_numbers(name, hint):
    for value in wrong_values(hint):
        with pytest.raises(ValueError, match=f"`{name}` must be"):
            LossScaleOptimizer("sgd", **{name: value})
