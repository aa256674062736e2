"""What only rules for matrices can get wrong."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gdx import optimizers
from keras_gdx.math import orthogonalize
from keras_gdx.optimizers.muon import POLAR_EXPRESS
from tests.golden.polar_express import polar_express

RULES = ("Muon", "NorMuon", "SOAP", "Shampoo", "Kron")


def test_polar_express_is_that_of_its_paper_and_ends_near_one():
    np.testing.assert_allclose(POLAR_EXPRESS, list(polar_express(5)), rtol=1e-12)
    rng = np.random.default_rng(0)
    u, v = (np.linalg.qr(rng.normal(size=(8, 8)))[0] for _ in range(2))
    matrix = (u * np.geomspace(1, 2e-3, 8)) @ v
    found = orthogonalize(tf.constant(matrix, "float32"), POLAR_EXPRESS, margin=1.01)
    singular = np.linalg.svd(found, compute_uv=False)
    assert 0.85 < singular.min() < singular.max() < 1.15


def test_normuon_has_one_number_per_output():
    inputs = keras.Input((5, 12))
    x = keras.layers.MultiHeadAttention(2, 3)(inputs, inputs)
    x = keras.layers.Conv1D(7, 3)(x)
    net = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Flatten()(x)))
    optimizer = optimizers.NorMuon()
    net.compile(optimizer, "mse")
    optimizer.build(net.trainable_variables)
    pairs = zip(net.trainable_variables, optimizer.state.slots, strict=True)
    kernels = [slots["velocity"].shape for v, slots in pairs if v.name == "kernel"]
    assert kernels == [(6,), (6,), (6,), (12,), (7,), (21, 1)]  # the last one is the fallback's


@pytest.mark.parametrize(
    ("make", "compiled"),
    [
        (optimizers.Muon, True),
        (optimizers.SOAP, False),
        (optimizers.Shampoo, False),
        (lambda: optimizers.ScheduleFree(optimizers.Shampoo(beta_1=0.0)), False),
        (lambda: optimizers.Partition({"kernel": "shampoo"}, default="adam"), False),
        (lambda: optimizers.Shampoo(fused=True), True),
    ],
)
def test_decompositions_are_not_compiled(make, compiled):
    """On a CPU, XLA takes 90 times as long as TensorFlow for the eigenvectors of 512 x 512."""
    optimizer = make()
    optimizer.build([keras.Variable(np.ones((256, 256)), name="kernel")])
    (bucket,) = optimizer.state.buckets
    assert bool(bucket.fused) == compiled


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("rule", RULES)
def test_any_matrix_is_a_finite_step(rule, jit_compile):
    """Gradients of rank zero and one, and of any size."""
    rng = np.random.default_rng(0)
    usual = rng.normal(size=(6, 4))
    rank_one = np.outer(np.arange(6.0), np.ones(4))
    gradients = [0 * usual, rank_one, 1e18 * usual, 1e-18 * usual, 1e18 * rank_one]
    variables = [keras.Variable(np.ones((6, 4)), name=f"kernel_{i}") for i in range(5)]
    optimizer = getattr(optimizers, rule)(1e-3)
    optimizer.build(variables)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def step(gradients):
        optimizer.apply(gradients, variables)

    for _ in range(4):
        step([tf.constant(g, "float32") for g in gradients])
    for variable in (*variables, *optimizer.variables):
        assert np.isfinite(variable.numpy()).all(), variable.path


@pytest.mark.parametrize("rule", RULES)
def test_a_matrix_whose_gradients_come_late_is_updated_too(rule):
    """Whatever starts with the first update has to start with the variable's own."""
    rng = np.random.default_rng(0)
    early, late = (keras.Variable(np.zeros((4, 4)), name=f"kernel_{i}") for i in range(2))
    optimizer = getattr(optimizers, rule)(0.01)
    for t in range(4):
        g = tf.constant(rng.normal(size=(4, 4)), "float32")
        if t < 2:
            optimizer.build([early, late])
            optimizer.apply([g], [early])
        else:
            optimizer.apply([g, g], [early, late])
        assert np.any(late.numpy()) == (t >= 2)
    assert np.all(late.numpy())
    assert np.isfinite(late.numpy()).all()


def test_shampoo_has_the_norms_of_adam_in_each_block():
    """It takes Adam's first step."""
    rng = np.random.default_rng(0)
    ours, theirs = (keras.Variable(np.zeros((3, 2, 3)), name="kernel") for _ in range(2))
    shampoo, adam = optimizers.Shampoo(1.0, block_size=4), optimizers.Adam(1.0)
    for t in range(3):
        before = [v.numpy().reshape(6, 3) for v in (ours, theirs)]
        g = tf.constant(rng.normal(size=(3, 2, 3)), "float32")
        shampoo.apply([g], [ours])
        adam.apply([g], [theirs])
        u, p = (v.numpy().reshape(6, 3) - w for v, w in zip((ours, theirs), before, strict=True))
        assert np.allclose(u, p, atol=1e-6) == (t == 0)
        for block in (slice(4), slice(4, 6)):
            assert np.linalg.norm(u[block]) == pytest.approx(np.linalg.norm(p[block]), rel=1e-5)


@pytest.mark.parametrize("rule", [optimizers.Muon, optimizers.NorMuon])
def test_with_the_rates_of_adamw_the_fallback_has_the_same(rule):
    same, other = rule(0.01, adjust="match_rms_adamw"), rule(0.01)
    assert [float(x.fallback.learning_rate) for x in (same, other)] == pytest.approx([0.01, 1.5e-3])


def test_without_gradients_kron_keeps_its_factors():
    """They would double every few updates to whiten nothing, until they overflow."""
    variable = keras.Variable(np.ones((3, 2)), name="kernel")
    optimizer = optimizers.Kron()
    for _ in range(2):
        optimizer.apply([tf.zeros((3, 2))], [variable])
    factors = optimizer.state.slots[0]["factors"].read()
    np.testing.assert_array_equal(factors, np.concatenate([np.eye(3).ravel(), np.eye(2).ravel()]))
