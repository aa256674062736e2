"""Compiled programs, rows and seeds: what several variables share, and what each has alone."""

import re

import keras
import numpy as np
import tensorflow as tf

from keras_gdx.optimizers import LAMB, SGD, Optimizer

SHAPE = (300, 300)  # large enough for a program


def moved(make, variables, gradients, steps=2):
    optimizer = make()
    optimizer.build(variables)
    step = tf.function(lambda: optimizer.apply(gradients, variables), autograph=False)
    for _ in range(steps):
        step()
    return optimizer, [v.numpy() for v in variables]


def test_variables_with_different_masks_share_no_program():
    def run(fused):
        rng = np.random.default_rng(0)
        w, g = (rng.normal(size=SHAPE).astype("float32") for _ in range(2))
        pair = [keras.Variable(3 * w, name=name) for name in ("adapted", "plain")]
        make = lambda: LAMB(0.1, no_adaptation=["plain"], fused=fused)  # noqa: E731
        return moved(make, pair, [tf.constant(g)] * 2)[1]

    expected = run(False)
    assert np.abs(expected[0] - expected[1]).max() > 0.01
    np.testing.assert_allclose(run(True), expected, rtol=1e-5, atol=1e-6)


def test_many_packed_variables_need_few_kernels_of_xla():
    """As many kernels as packed variables would take a minute to compile for 3,000 of them."""
    shapes = [(4, 3), (3,), ()] * 40
    rng = np.random.default_rng(0)
    gradients = [tf.constant(rng.normal(size=s), "float32") for s in shapes]

    def run(jit):
        variables, optimizer = [keras.Variable(np.zeros(s)) for s in shapes], SGD(1.0)
        optimizer.build(variables)
        step = tf.function(lambda: optimizer.apply(gradients), autograph=False, jit_compile=jit)
        step()
        return step, [v.numpy() for v in variables]

    step, moved = run(True)
    program = step.experimental_get_compiler_ir()(stage="optimized_hlo")
    slices = re.findall(r"=(.* slice\(.*slice=\{.*?\})", program)
    places = {re.sub(r"%[\w.]+", "", what) for what in slices}
    assert 0 < len(places) < 30
    for a, b, g in zip(moved, run(False)[1], gradients, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, -g)


class OnlyKernels(Optimizer):
    """A rule that asks for the role of a variable."""

    def direction(self, h, g, w):
        return g if h.role.kind == "kernel" else 2 * g


def test_variables_with_different_roles_share_no_program():
    def run(fused):
        model = keras.Sequential(
            [
                keras.Input((3,), dtype="int32"),
                keras.layers.Embedding(*SHAPE, embeddings_initializer="zeros"),
                keras.layers.Dense(SHAPE[1], use_bias=False, kernel_initializer="zeros"),
            ]
        )
        optimizer = OnlyKernels(1.0, fused=fused)
        optimizer.attach(model)
        ones = [tf.ones(SHAPE)] * 2
        return moved(lambda: optimizer, model.trainable_variables, ones, steps=1)[1]

    for embeddings, kernel in (run(False), run(True)):
        np.testing.assert_array_equal(embeddings, np.full(SHAPE, -2))
        np.testing.assert_array_equal(kernel, np.full(SHAPE, -1))


def test_variables_are_rounded_by_random_numbers_of_their_own():
    pair = [keras.Variable(np.ones(SHAPE), dtype="bfloat16") for _ in range(2)]
    gradients = [tf.fill(SHAPE, tf.constant(1e-3, "bfloat16"))] * 2
    _, (a, b) = moved(lambda: SGD(1.0, precision="stochastic"), pair, gradients, steps=3)
    assert 0.001 < np.mean(a != b) < 0.9


def test_rows_are_clipped_as_all_others():
    """Row 1 is named twice, so its gradient is the sum."""
    values = np.array([[3.0, 0.0], [0.0, 1.0], [0.0, 3.0]], "float32")
    rows = tf.IndexedSlices(tf.constant(values), tf.constant([1, 3, 1]), tf.constant([5, 2]))
    table = keras.Variable(np.zeros((5, 2)))
    dense = np.zeros((5, 2))
    dense[1], dense[3] = [3, 3], [0, 1]
    SGD(1.0, sparse="lazy", clipnorm=2.0).apply([rows], [table])
    np.testing.assert_allclose(table.numpy(), -dense * 2 / np.sqrt(19), rtol=1e-6)
