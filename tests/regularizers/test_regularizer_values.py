"""Regularizers have the values and gradients of their formulas in float64 NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gdx.regularizers import GroupLasso, Lp

SHAPES = {"vector": (7,), "dense": (5, 4), "conv": (3, 3, 2, 4), "attention": (6, 2, 3)}


def lp(w, p, factor):
    slope = np.sign(w) * np.abs(np.where(w == 0, 1, w)) ** (p - 1)
    return factor / p * (np.abs(w) ** p).sum(), factor * slope


def group_lasso(w, factor, axis):
    others = tuple(i for i in range(w.ndim) if i != axis % w.ndim)
    size = w.size / w.shape[axis]
    norms = np.sqrt((w**2).sum(others, keepdims=True))
    slope = factor * np.sqrt(size) * w / np.where(norms == 0, 1, norms)
    return factor * np.sqrt(size) * norms.sum(), slope


CASES = {
    "Lp(0.5)": (Lp(0.5, 0.3), lambda w: lp(w, 0.5, 0.3)),
    "Lp(1)": (Lp(1, 0.3), lambda w: lp(w, 1, 0.3)),
    "Lp(1.5)": (Lp(1.5), lambda w: lp(w, 1.5, 0.01)),
    "Lp(2)": (Lp(2.0, 0.3), lambda w: lp(w, 2, 0.3)),
    "Lp(4)": (Lp(4, 1e-3), lambda w: lp(w, 4, 1e-3)),
    "GroupLasso": (GroupLasso(0.3), lambda w: group_lasso(w, 0.3, -1)),
    "GroupLasso(axis=0)": (GroupLasso(axis=0), lambda w: group_lasso(w, 0.01, 0)),
}


def zeroed(w):
    """The weights as they are, and with zeros here, there and everywhere."""
    some, groups = w.copy(), w.copy()
    some.flat[::3] = 0
    groups[..., 0] = groups[0] = 0
    return w, some, groups, np.zeros_like(w)


def differentiated(regularizer, jit_compile):
    @tf.function(jit_compile=jit_compile)
    def value_and_gradient(w):
        with tf.GradientTape() as tape:
            tape.watch(w)
            value = regularizer(w)
        return value, tape.gradient(value, w)

    return value_and_gradient


@pytest.mark.parametrize("jit_compile", [True, False], ids=["xla", "graph"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(("regularizer", "formula"), CASES.values(), ids=CASES)
def test_value_and_gradient(regularizer, formula, shape, jit_compile):
    function = differentiated(regularizer, jit_compile)
    for w in zeroed(np.random.default_rng(0).normal(size=shape).astype("float32")):
        value, gradient = function(tf.constant(w))
        expected = formula(w.astype("float64"))
        np.testing.assert_allclose(value, expected[0], rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(gradient, expected[1], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("jit_compile", [True, False], ids=["xla", "graph"])
@pytest.mark.parametrize("regularizer", [c[0] for c in CASES.values()], ids=CASES)
def test_gradients_stay_finite_however_small_the_weights(regularizer, jit_compile):
    function = differentiated(regularizer, jit_compile)
    w = np.random.default_rng(0).normal(size=(5, 4))
    for scale in (1e-45, 1e-38, 1e-30, 1e-20, 1e-10, 1e-5):
        for result in function(tf.constant(w * scale, "float32")):
            assert np.isfinite(result).all()


def test_agrees_with_keras_where_it_can():
    w = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    for ours, theirs in [
        (Lp(1, 0.3), keras.regularizers.L1(0.3)),
        (Lp(2, 0.3), keras.regularizers.L2(0.15)),
    ]:
        np.testing.assert_allclose(float(ours(w)), float(theirs(w)), rtol=1e-6)


@pytest.mark.parametrize("p", [0, -1, float("inf"), float("nan"), "one", None, True])
def test_lp_says_what_p_may_be(p):
    with pytest.raises(ValueError, match="`p` must be a finite number > 0"):
        Lp(p)


@pytest.mark.parametrize("factor", [-1, float("nan"), "strong", None])
@pytest.mark.parametrize("make", [lambda f: Lp(1.5, f), GroupLasso], ids=["Lp", "GroupLasso"])
def test_says_what_the_factor_may_be(make, factor):
    with pytest.raises(ValueError, match="`factor` must be a number >= 0"):
        make(factor)


@pytest.mark.parametrize("axis", [0.5, None, (0, 1), True])
def test_group_lasso_says_what_the_axis_may_be(axis):
    with pytest.raises(ValueError, match="`axis` must be an integer"):
        GroupLasso(axis=axis)
