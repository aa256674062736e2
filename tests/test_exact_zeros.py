"""Rules that set weights to exactly zero: Ftrl, and Adagrad with a proximal step."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gdx import modifiers
from keras_gdx.constraints import SoftThreshold
from keras_gdx.optimizers import Adagrad, Ftrl
from tests.golden.problem import problem

SMALL = 0.05  # a penalty that some weights of the problem survive


def trained(optimizer, steps=30, jit=None):
    weights, gradients = problem(("matrix_kernel",), steps=steps)
    (w,), (g,) = ([*x.values()] for x in (weights, gradients))
    v = keras.Variable(w)
    optimizer.build([v])
    step = tf.function(lambda x: optimizer.apply([x], [v]), jit_compile=jit)
    for x in g:
        step(tf.constant(x))
    return v.numpy()


def test_the_proximal_step_is_that_of_tensorflow():
    """The kernel is what ProximalAdagrad of TensorFlow Addons runs; it has no epsilon."""
    weights, gradients = problem(("matrix_kernel",), steps=30)
    var, accumulator = tf.Variable(weights["matrix_kernel"]), tf.Variable(tf.fill([6, 4], 0.1))
    for g in gradients["matrix_kernel"]:
        tf.raw_ops.ResourceApplyProximalAdagrad(
            var=var.handle, accum=accumulator.handle, lr=0.1, l1=SMALL, l2=0.0, grad=g
        )
    found = trained(Adagrad(0.1, proximal=SoftThreshold(SMALL)))
    np.testing.assert_allclose(found, var.numpy(), rtol=2e-5, atol=2e-6)
    np.testing.assert_array_equal(found == 0, var.numpy() == 0)
    assert 0 < np.sum(found == 0) < found.size


def test_weights_that_may_not_be_negative():
    found = trained(Adagrad(0.1, proximal=keras.constraints.NonNeg()))
    plain = keras.constraints.NonNeg()
    free = trained(Adagrad(0.1), steps=1)
    np.testing.assert_allclose(
        trained(Adagrad(0.1, proximal=plain), steps=1), np.maximum(free, 0), rtol=1e-6
    )
    assert found.min() == 0 < found.max()


@pytest.mark.parametrize("jit", [False, True])
def test_l1_of_ftrl_makes_exact_zeros(jit):
    found = trained(Ftrl(0.1, l1=1.0), jit=jit)
    assert 0 < np.sum(found == 0) < found.size


def test_a_modifier_changes_the_step_of_ftrl():
    plain = trained(Ftrl(0.1), steps=1)
    (start,) = problem(("matrix_kernel",), steps=1)[0].values()
    cut = trained(Ftrl(0.1, after=[modifiers.UpdateClip(0.5)]), steps=1)
    moved = (plain - start) / 0.1
    rms = np.sqrt(np.mean(moved**2))
    assert rms > 0.5
    np.testing.assert_allclose((cut - start) / 0.1, moved * 0.5 / rms, atol=1e-5)


@pytest.mark.parametrize(
    "rule",
    [
        lambda **o: Ftrl(initial_accumulator_value=0.0, l1=0.1, **o),
        lambda **o: Adagrad(
            initial_accumulator_value=0.0, epsilon=0.0, proximal=SoftThreshold(0.1), **o
        ),
    ],
    ids=["ftrl", "adagrad"],
)
def test_nothing_moves_without_a_gradient_or_a_rate(rule):
    w = np.array([1.0, -2.0], "float32")
    for rate, gradient in ((0.1, 0.0), (0.0, 1.0)):
        v = keras.Variable(w)
        rule(learning_rate=rate).apply([tf.fill([2], gradient)], [v])
        np.testing.assert_array_equal(v.numpy(), w)
    # a warm-up that starts at 0 goes on with a state that is still finite
    v = keras.Variable(w)
    warmup = rule(learning_rate=keras.optimizers.schedules.PolynomialDecay(0.0, 2, 0.5))
    for _ in range(3):
        warmup.apply([tf.ones([2])], [v])
    assert np.isfinite(v.numpy()).all()
    assert (v.numpy() != w).all()
