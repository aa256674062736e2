"""Regularizers have the values and gradients of their formulas in float64 NumPy."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gdx.regularizers import (
    L1,
    L1L2,
    L2,
    L2SP,
    SRIP,
    DeCov,
    EntropyPenalty,
    GroupLasso,
    HoyerSparsity,
    Lp,
    NuclearNorm,
    Scheduled,
    Slimming,
    SoftOrthogonal,
    SparseGroupLasso,
    SpectralPenalty,
)
from keras_gdx.schedules import Constant
from tests.reference import references

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


def l1_l2(w, l1, l2):
    return l1 * np.abs(w).sum() + l2 * (w**2).sum(), l1 * np.sign(w) + 2 * l2 * w


def sparse_group_lasso(w, l1, group, axis):
    pairs = zip(l1_l2(w, l1, 0), group_lasso(w, group, axis), strict=True)
    return tuple(a + b for a, b in pairs)


def hoyer(w, factor):
    l1, squares = np.abs(w).sum(), (w**2).sum()
    if squares == 0:
        return 0.0, np.zeros_like(w)
    return (
        factor * l1**2 / squares,
        factor * (2 * l1 * np.sign(w) / squares - 2 * l1**2 * w / squares**2),
    )


def flat(w):
    return w.reshape(-1, w.shape[-1] if w.ndim > 1 else 1)


def soft_orthogonal(w, factor):
    m = flat(w)
    rest = m.T @ m - np.eye(m.shape[1])
    return factor * (rest**2).sum(), (4 * factor * m @ rest).reshape(w.shape)


def soft_orthogonal_rows(w, factor):
    value, slope = soft_orthogonal(flat(w).T, factor)
    return value, slope.T.reshape(w.shape)


def srip(w, factor):
    m = flat(w)
    u, s, vt = np.linalg.svd(m, full_matrices=False)
    gaps = [s[0] ** 2 - 1, 1 - s[-1] ** 2] + ([1.0] if m.shape[1] > m.shape[0] else [])
    which = int(np.argmax(gaps))
    slopes = [2 * s[0] * np.outer(u[:, 0], vt[0]), -2 * s[-1] * np.outer(u[:, -1], vt[-1])]
    slope = slopes[which] if which < 2 else np.zeros_like(m)
    return factor * gaps[which], factor * slope.reshape(w.shape)


def spectral(w, factor):
    u, s, vt = np.linalg.svd(flat(w), full_matrices=False)
    return factor / 2 * s[0] ** 2, (factor * s[0] * np.outer(u[:, 0], vt[0])).reshape(w.shape)


def nuclear(w, factor):
    u, s, vt = np.linalg.svd(flat(w), full_matrices=False)
    present = s > max(s.max(), 1e-30) * 1e-6
    return factor * s.sum(), (factor * (u * present) @ vt).reshape(w.shape)


# Functions of singular values: decomposed in float32, so less exact.
SPECTRAL = {
    "SRIP": (SRIP(0.3), lambda w: srip(w, 0.3)),
    "SpectralPenalty": (SpectralPenalty(0.3), lambda w: spectral(w, 0.3)),
    "NuclearNorm": (NuclearNorm(0.3), lambda w: nuclear(w, 0.3)),
}
CASES = {
    "L1": (L1(0.3), lambda w: l1_l2(w, 0.3, 0)),
    "L2": (L2(0.3), lambda w: l1_l2(w, 0, 0.3)),
    "L1L2": (L1L2(0.2, 0.3), lambda w: l1_l2(w, 0.2, 0.3)),
    "Slimming": (Slimming(0.3), lambda w: l1_l2(w, 0.3, 0)),
    "SparseGroupLasso": (SparseGroupLasso(0.2, 0.3), lambda w: sparse_group_lasso(w, 0.2, 0.3, -1)),
    "HoyerSparsity": (HoyerSparsity(0.3), lambda w: hoyer(w, 0.3)),
    "SoftOrthogonal": (SoftOrthogonal(0.3), lambda w: soft_orthogonal(w, 0.3)),
    "SoftOrthogonal(rows)": (SoftOrthogonal(0.3, "rows"), lambda w: soft_orthogonal_rows(w, 0.3)),
    "Scheduled": (Scheduled(L2(0.6), Constant(0.5)), lambda w: l1_l2(w, 0, 0.3)),
    "Lp(0.5)": (Lp(0.5, 0.3), lambda w: lp(w, 0.5, 0.3)),
    "Lp(1)": (Lp(1, 0.3), lambda w: lp(w, 1, 0.3)),
    "Lp(1.5)": (Lp(1.5), lambda w: lp(w, 1.5, 0.01)),
    "Lp(2)": (Lp(2.0, 0.3), lambda w: lp(w, 2, 0.3)),
    "Lp(4)": (Lp(4, 1e-3), lambda w: lp(w, 4, 1e-3)),
    "GroupLasso": (GroupLasso(0.3), lambda w: group_lasso(w, 0.3, -1)),
    "GroupLasso(axis=0)": (GroupLasso(axis=0), lambda w: group_lasso(w, 0.01, 0)),
}
for _cls, _reference in references("regularizer"):
    for _hyper in _reference.HYPER:
        formula = partial(_reference.penalty, **_hyper)
        CASES[f"{_cls.__name__}({_hyper})"] = _cls(**_hyper), formula


def zeroed(w):
    """The weights unchanged, and with zeros in several patterns."""
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
        rounding = 1e-9 + 5e-7 * np.abs(expected[1]).max()  # some values are differences
        np.testing.assert_allclose(gradient, expected[1], rtol=1e-5, atol=rounding)


@pytest.mark.parametrize("jit_compile", [True, False], ids=["xla", "graph"])
@pytest.mark.parametrize("shape", [*SHAPES.values(), (4, 9)], ids=str)
@pytest.mark.parametrize(("regularizer", "formula"), SPECTRAL.values(), ids=SPECTRAL)
def test_value_and_gradient_of_singular_values(regularizer, formula, shape, jit_compile):
    function = differentiated(regularizer, jit_compile)
    for scale in (1.0, 0.1):
        w = (scale * np.random.default_rng(0).normal(size=shape)).astype("float32")
        value, gradient = function(tf.constant(w))
        expected = formula(w.astype("float64"))
        np.testing.assert_allclose(value, expected[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(gradient, expected[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("regularizer", [c[0] for c in SPECTRAL.values()], ids=SPECTRAL)
def test_singular_values_that_are_equal_or_zero_have_finite_gradients(regularizer):
    function = differentiated(regularizer, jit_compile=False)
    for w in (np.zeros((5, 4)), np.eye(4), np.ones((5, 4)), 3 * np.eye(6)[:, :4]):
        for result in function(tf.constant(w, "float32")):
            assert np.isfinite(result).all()


def test_l2_sp_says_what_its_reference_may_be():
    w = np.ones((3, 2), "float32")
    with pytest.raises(ValueError, match="`reference`"):
        L2SP(0.3)(w)
    with pytest.raises(ValueError, match=r"shape \(5,\)"):
        L2SP(0.3, w)(np.ones(5, "float32"))


def l2_sp(w, factor, reference):
    return factor * ((w - reference) ** 2).sum(), 2 * factor * (w - reference)


def entropy(p, factor):
    slope = factor * (np.log(np.where(p == 0, 1.2e-38, p)) + (p > 0))
    return factor * (p * np.log(p)).sum(), slope


def entropy_of_logits(x, factor):
    p = np.exp(x) / np.exp(x).sum(-1, keepdims=True)
    inner = np.log(p) - (p * np.log(p)).sum(-1, keepdims=True)
    return factor * (p * np.log(p)).sum(), factor * p * inner


def decov(h, factor):
    n, x = len(h), h - h.mean(0)
    c = x.T @ x / n
    off = c - np.diag(np.diag(c))
    return n * factor / 2 * (off**2).sum(), n * factor * 2 * x @ off / n


START, KERNEL = np.random.default_rng(0).normal(size=(2, 3, 3, 2, 4)).astype("float32")
OUTPUTS = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
SHARES = np.exp(OUTPUTS) / np.exp(OUTPUTS).sum(-1, keepdims=True)
GIVEN = {  # those that need more than any weights, with what they are given
    "L2SP": (L2SP(0.3, START), lambda w: l2_sp(w, 0.3, START), KERNEL),
    "EntropyPenalty": (EntropyPenalty(0.3), lambda p: entropy(p, 0.3), SHARES),
    "EntropyPenalty(from_logits)": (
        EntropyPenalty(0.3, from_logits=True),
        lambda x: entropy_of_logits(x, 0.3),
        OUTPUTS,
    ),
    "DeCov": (DeCov(0.3), lambda h: decov(h, 0.3), OUTPUTS),
}


@pytest.mark.parametrize(("regularizer", "formula", "x"), GIVEN.values(), ids=GIVEN)
def test_value_and_gradient_where_it_applies(regularizer, formula, x):
    value, gradient = differentiated(regularizer, jit_compile=True)(tf.constant(x))
    expected = formula(x.astype("float64"))
    np.testing.assert_allclose(value, expected[0], rtol=1e-5)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("regularizer", [DeCov(0.5), EntropyPenalty(0.5, from_logits=True)])
def test_a_loss_has_what_a_penalty_of_outputs_says(regularizer):
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    net.layers[0].activity_regularizer = regularizer
    net.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    outputs = net.predict(x, verbose=0)
    penalty = float(regularizer(outputs)) / 8
    np.testing.assert_allclose(net.evaluate(x, outputs, verbose=0), penalty, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("jit_compile", [True, False], ids=["xla", "graph"])
@pytest.mark.parametrize("regularizer", [c[0] for c in CASES.values()], ids=CASES)
def test_gradients_stay_finite_however_small_the_weights(regularizer, jit_compile):
    function = differentiated(regularizer, jit_compile)
    w = np.random.default_rng(0).normal(size=(5, 4))
    for scale in (1e-45, 1e-38, 1e-30, 1e-20, 1e-10, 1e-5):
        for result in function(tf.constant(w * scale, "float32")):
            assert np.isfinite(result).all()


AS_IN_KERAS = [
    (Lp(1, 0.3), keras.regularizers.L1(0.3)),
    (Lp(2, 0.3), keras.regularizers.L2(0.15)),
    (L1(0.3), keras.regularizers.L1(0.3)),
    (L2(0.3), keras.regularizers.L2(0.3)),
    (L1L2(0.2, 0.3), keras.regularizers.L1L2(0.2, 0.3)),
]


def test_agrees_with_keras_where_it_can():
    w = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    for ours, theirs in AS_IN_KERAS:
        np.testing.assert_allclose(float(ours(w)), float(theirs(w)), rtol=1e-6)


def test_a_name_is_no_regularizer():
    with pytest.raises(ValueError, match="`regularizer` must be a Regularizer"):
        Scheduled("l2", Constant(1.0))
