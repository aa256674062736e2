"""Explanations have the values that theory says."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers

import keras_gdx

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(5, 4))
IMAGES = RANDOM.normal(size=(3, 5, 6, 2)).astype("float32")


def dense(*hidden, outputs=3):
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((4,)), *hidden, layers.Dense(outputs)])


def convolutional():
    keras.utils.set_random_seed(1)
    middle = [layers.Conv2D(4, 3, activation="relu"), layers.Flatten()]
    return keras.Sequential([keras.Input((5, 6, 2)), *middle, layers.Dense(3)])


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion", "shap"])
def test_a_linear_model_is_explained_by_its_weights(method):
    if method == "shap":
        pytest.importorskip("shap")
    model = dense()
    model.layers[-1].bias.assign([1.0, 2.0, 3.0])
    base = np.full(4, 0.5)
    found = keras_gdx.explain(model, ROWS, method=method, target=1, baseline=base)
    kernel = model.layers[-1].kernel.numpy()[:, 1]
    np.testing.assert_allclose(found.values, (ROWS - base) * kernel, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.missing, 0, atol=1e-5)
    np.testing.assert_allclose(found.output, ROWS @ kernel + 2, rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "x"),
    [
        (dense(layers.Dense(16, "tanh"), layers.Dense(16, "gelu")), ROWS),
        (dense(layers.Dense(16, "relu"), layers.BatchNormalization(), layers.Dropout(0.5)), ROWS),
        (convolutional(), IMAGES),
    ],
    ids=["smooth", "piecewise linear", "images"],
)
def test_integrated_gradients_are_complete(model, x):
    """The error of the quadrature falls with its points, to rounding for a smooth model."""
    errors = [
        np.abs(keras_gdx.explain(model, x, steps=steps, baseline=0.7).missing).max()
        for steps in (1, 32, 512)
    ]
    assert errors[0] > 20 * errors[1]
    assert errors[2] < max(errors[1] / 5, 1e-6)


def test_the_largest_output_is_explained():
    model = dense(layers.Dense(8, "tanh"))
    largest = model.predict(ROWS, verbose=0).argmax(axis=1)
    found = keras_gdx.explain(model, ROWS)
    for row, target in enumerate(largest):
        alone = keras_gdx.explain(model, ROWS[row : row + 1], target=int(target))
        np.testing.assert_allclose(found.values[row], alone.values[0], atol=1e-6)


def test_occlusion_covers_windows():
    model = convolutional()
    found = keras_gdx.explain(model, IMAGES, method="occlusion", window=3, stride=2, target=0)
    total, count = np.zeros(IMAGES.shape), np.zeros((5, 6, 1))
    before = model.predict(IMAGES, verbose=0)[:, 0]
    for top in (0, 2):
        for left in (0, 2, 3):
            covered = IMAGES.copy()
            covered[:, top : top + 3, left : left + 3] = 0
            drop = before - model.predict(covered, verbose=0)[:, 0]
            total[:, top : top + 3, left : left + 3] += drop[:, None, None, None]
            count[top : top + 3, left : left + 3] += 1
    np.testing.assert_allclose(found.values, total / count, atol=1e-5)


def test_permutation_finds_what_the_model_uses():
    x = RANDOM.normal(size=(500, 4))
    model = dense(outputs=1)
    model.set_weights([np.array([[3.0], [0.0], [1.0], [0.0]]), np.zeros(1)])
    y = 3 * x[:, :1] + x[:, 2:3]
    found = keras_gdx.explain(model, x, y, method="permutation", loss="mse")
    # permuted independently, a feature adds 2 w^2 var(x) to the squared error
    expected = 2 * np.array([9.0, 0, 1.0, 0]) * x.var(axis=0)
    np.testing.assert_allclose(found.values, expected, rtol=0.1, atol=1e-10)
    again = keras_gdx.explain(model, x, y, method="permutation", loss="mse")
    np.testing.assert_array_equal(found.values, again.values)
    assert found.plot(names=list("abcd")).axes[0].get_yticklabels()[-1].get_text() == "a"


def test_images_are_drawn_beside_their_contributions(tmp_path):
    figure = keras_gdx.explain(convolutional(), IMAGES).plot(1)
    assert [axes.get_title() for axes in figure.axes[:2]] == ["input", "contribution to the output"]
    figure.savefig(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("method", {"method": "lime"}),
        ("target", {"target": 3}),
        ("target", {"target": -1}),
        ("steps", {"steps": 0}),
        ("window", {"window": 0}),
        ("stride", {"window": 2, "stride": 3}),
        ("repeats", {"repeats": 0}),
        ("seed", {"seed": -1}),
        ("baseline", {"baseline": np.zeros(3)}),
        ("y", {"y": ROWS}),
        ("y", {"method": "permutation"}),
        ("loss", {"method": "permutation", "y": ROWS}),
        ("x", {"x": [ROWS, ROWS]}),
        ("x", {"x": ROWS[0]}),
        ("x", {"x": ROWS[:0]}),
    ],
)
def test_bad_arguments(name, arguments):
    with pytest.raises(ValueError, match=f"`{name}`"):
        keras_gdx.explain(dense(), **{"x": ROWS, **arguments})


def test_models_that_cannot_be_explained():
    with pytest.raises(ValueError, match="`model` must be built"):
        keras_gdx.explain(keras.Sequential([layers.Dense(1)]), ROWS)
    with pytest.raises(ValueError, match="`x` must be of shape"):
        keras_gdx.explain(convolutional(), IMAGES, IMAGES, method="permutation", loss="mse")


def test_shapley_values_are_those_of_their_definition():
    """The mean over all orders in which the inputs are taken from the baseline to the example."""
    pytest.importorskip("shap")
    model, base = dense(layers.Dense(16, "tanh")), np.full((1, 4), 0.5)
    x = ROWS[:1]

    def output(inputs):
        return model.predict_on_batch(inputs)[:, 2].astype("float64")

    expected = np.zeros(4)
    for order in itertools.permutations(range(4)):
        now = base.copy()
        for feature in order:
            before = output(now)[0]
            now[0, feature] = x[0, feature]
            expected[feature] += (output(now)[0] - before) / 24
    found = keras_gdx.explain(model, x, method="shap", target=2, baseline=base, repeats=400)
    np.testing.assert_allclose(found.values[0], expected, atol=0.05 * np.abs(expected).max())
    np.testing.assert_allclose(found.missing, 0, atol=1e-5)
    images = keras_gdx.explain(convolutional(), IMAGES, method="shap", repeats=1)
    assert images.values.shape == IMAGES.shape
    np.testing.assert_allclose(images.missing, 0, atol=1e-5)
