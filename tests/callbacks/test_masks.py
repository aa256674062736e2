"""Pruning compared with loops by hand, on one and two devices, with Keras' optimizers and ours."""

from itertools import pairwise

import keras
import numpy as np
import pytest

from keras_gdx import optimizers
from keras_gdx.callbacks import DynamicSurgery, MagnitudePruning

X = np.random.default_rng(0).normal(size=(48, 6)).astype("float32")
Y = np.random.default_rng(1).normal(size=(48, 5)).astype("float32")
START = np.random.default_rng(2).normal(size=(6, 5)).astype("float32")
RATE, BATCH = 0.3, 4


def model_with(optimizer, **options):
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5, use_bias=False)])
    model.set_weights([START])
    model.compile(optimizer, "mse", **options)
    return model


def fit(model, callback, epochs=1):
    options = {"batch_size": BATCH, "shuffle": False, "verbose": 0, "epochs": epochs}
    return model.fit(X, Y, callbacks=[callback], **options).history


def gradient(w, step):
    here = slice(step * BATCH % len(X), step * BATCH % len(X) + BATCH)
    return 2 / (BATCH * 5) * X[here].T @ (X[here] @ w - Y[here])


def by_hand(steps, choose, splicing):
    """The weights; the mask is updated after every third step."""
    dense, mask = START, np.ones((6, 5))
    for step in range(steps):
        moved = gradient(dense * mask, step) * RATE
        dense = dense - moved if splicing else (dense - moved) * mask
        if (step + 1) % 3 == 0:
            mask = choose(dense, mask, step + 1)
    return dense * mask, mask


def smallest(w, mask, step):
    count = round(0.8 * (1 - (1 - min(step, 9) / 9) ** 3) * w.size) if step <= 9 else None
    if count is None:
        return mask
    return np.where(np.abs(w) < np.sort(np.abs(w), axis=None)[count], 0.0, 1.0)


def surgery(w, mask, step):
    if step > 9:
        return mask
    size = np.abs(w)
    threshold = size.mean() + 0.1 * size.std()
    return np.where(size < 0.8 * threshold, 0, np.where(size >= 1.2 * threshold, 1, mask))


CASES = {
    "magnitude": (lambda: MagnitudePruning(0.8, 0, 9, 3), smallest, False),
    "surgery": (lambda: DynamicSurgery(0.1, 0.2, 0, 9, 3), surgery, True),
}
OPTIMIZERS = {"ours": optimizers.SGD, "keras": keras.optimizers.SGD}


@pytest.mark.parametrize("whose", OPTIMIZERS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("jit", [False, True])
def test_as_by_hand(case, whose, jit):
    make, choose, splicing = CASES[case]
    model = model_with(OPTIMIZERS[whose](RATE), jit_compile=jit)
    found = fit(model, make())
    expected, mask = by_hand(12, choose, splicing)
    assert 0.2 < 1 - mask.mean() < 0.95
    np.testing.assert_allclose(model.get_weights()[0], expected, atol=2e-6)
    assert found["sparsity"] == [pytest.approx(1 - mask.mean())]


def test_surgery_takes_back_what_it_cut():
    masks = []
    dense, mask = START, np.ones((6, 5))
    for step in range(9):
        dense = dense - gradient(dense * mask, step) * RATE
        if (step + 1) % 3 == 0:
            mask = surgery(dense, mask, step + 1)
            masks.append(mask)
    back = sum(int(((a == 0) & (b == 1)).sum()) for a, b in pairwise(masks))
    assert back > 0  # some weights come back, so `test_as_by_hand` tests splicing too


@pytest.mark.parametrize("case", CASES)
def test_two_replicas(case, mirrored):
    make, choose, splicing = CASES[case]
    with mirrored.scope():
        model = model_with(optimizers.SGD(RATE))
    fit(model, make())
    np.testing.assert_allclose(model.get_weights()[0], by_hand(12, choose, splicing)[0], atol=2e-6)


@pytest.mark.parametrize("case", CASES)
def test_memory_in_another_model(case):
    """Masks and hidden weights are restored from the state alone, in a new model."""
    make = CASES[case][0]
    whole, first, second = (model_with(optimizers.SGD(0.05)) for _ in range(3))
    half = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
    fit(whole, make())
    before, after = make(), make()
    first.fit(X[:20], Y[:20], callbacks=[before], **half)
    assert (first.get_weights()[0] == 0).any()
    second.set_weights(first.get_weights())
    after.restore(before.state())
    second.fit(X[20:], Y[20:], callbacks=[after], **half)
    np.testing.assert_array_equal(second.get_weights()[0], whole.get_weights()[0])


def test_pruned_weights_keep_small_updates():
    """In bfloat16, each of these is less than half the distance to the next number."""
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones", dtype="bfloat16")
    model = keras.Sequential([keras.Input((2,)), layer])
    model.compile(optimizers.SGD(2**-10), lambda y, y_pred: keras.ops.sum(y_pred))
    callback = DynamicSurgery(end=1, every=1)
    data = np.ones((100, 2)), np.ones((100, 1))
    callback.mask_of = lambda weights, mask, step: np.array([[True], [False]])
    model.fit(*data, batch_size=1, verbose=0, callbacks=[callback])
    np.testing.assert_array_equal(layer.kernel.numpy()[:, 0].astype("float32"), [1, 0])
    assert float(layer.kernel.constraint.dense[1, 0]) == pytest.approx(1 - 100 * 2**-10)


def test_masks_stay_in_later_fits():
    model = model_with(optimizers.Adam(0.01))
    fit(model, MagnitudePruning(0.5, 0, 9, 3))
    zero = model.get_weights()[0] == 0
    assert zero.mean() == 0.5
    fit(model, keras.callbacks.Callback())
    np.testing.assert_array_equal(model.get_weights()[0] == 0, zero)


@pytest.mark.parametrize("whose", OPTIMIZERS)
@pytest.mark.parametrize("jit", [False, True])
def test_may_begin_in_a_later_fit(whose, jit):
    """The step was compiled without masks, and so was what applies an incomplete window.

    The latter is followed by what holds the masks of all weights.
    """
    window = {"gradient_accumulation_steps": 7} if whose == "ours" else {}
    never, late = MagnitudePruning(0.8, 10**6, 10**6 + 1), keras.callbacks.Callback()
    found = []
    for before in (never, late):
        model = model_with(OPTIMIZERS[whose](RATE, **window), jit_compile=jit)
        fit(model, before)
        fit(model, MagnitudePruning(0.8, 0, 9, 3))
        found.append(model.get_weights()[0])
    np.testing.assert_array_equal(*found)
    assert (found[0] == 0).mean() == 0.8


@pytest.mark.parametrize("case", CASES)
def test_own_constraint_counts_too(case):
    model = model_with(optimizers.SGD(RATE))
    model.layers[0].kernel.constraint = keras.constraints.NonNeg()
    fit(model, CASES[case][0]())
    assert model.get_weights()[0].min() == 0


def test_bad_input():
    with pytest.raises(ValueError, match="sparsity"):
        MagnitudePruning(1.0)
    with pytest.raises(ValueError, match="`end`"):
        MagnitudePruning(0.5, begin=10, end=10)
    with pytest.raises(ValueError, match="margin"):
        DynamicSurgery(margin=1.0)
    with pytest.raises(ValueError, match="select no variable"):
        fit(model_with("sgd"), MagnitudePruning(0.5, include="nothing"))
    model = model_with(optimizers.SGD(RATE))
    fit(model, keras.callbacks.Callback())
    with pytest.raises(ValueError, match="Compile the model again"):
        fit(model, DynamicSurgery())
    assert model.layers[0].kernel.constraint is None
    model = model_with(optimizers.SGD(RATE))
    fit(model, DynamicSurgery())
    with pytest.raises(ValueError, match="Compile the model again"):
        fit(model, MagnitudePruning(0.5))
