"""The sweep compared with a loop by hand, the restored state, and the suggestions."""

import random

import keras
import numpy as np
import pytest

from keras_gdx import optimizers, schedules
from keras_gdx.callbacks import LearningRateFinder
from keras_gdx.callbacks.learning_rate_finder import longest_fall, slide, smooth, suggest

X = np.random.default_rng(0).normal(size=(96, 4)).astype("float32")
Y = X.sum(axis=1, keepdims=True)


def model_with(optimizer, dropout=0.0):
    keras.utils.set_random_seed(2)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, activation="tanh"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(1),
        ]
    )
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


def test_true_losses_of_rising_rates():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    (w,) = model.get_weights()
    finder = LearningRateFinder(1e-3, 1e-1, steps=6)
    model.fit(X, Y, batch_size=16, shuffle=False, verbose=0, callbacks=[finder])
    losses = []
    for rate, start in zip(np.geomspace(1e-3, 1e-1, 6), range(0, 96, 16), strict=True):
        x, error = X[start : start + 16], X[start : start + 16] @ w - Y[start : start + 16]
        losses.append(np.mean(error**2))
        w = w - rate * 2 / 16 * x.T @ error
    np.testing.assert_allclose(finder.rates, np.geomspace(1e-3, 1e-1, 6))
    np.testing.assert_allclose(finder.losses, losses, rtol=1e-5)


OPTIMIZERS = {
    "keras": lambda: keras.optimizers.Adam(0.01),
    "ours": lambda: optimizers.AdamW(0.01, gradient_accumulation_steps=2),
    "schedule": lambda: optimizers.AdamW(schedules.Warmup(schedules.Cosine(0.01, 40), 3)),
    "schedule-free": lambda: optimizers.ScheduleFreeAdamW(0.01),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(optimizers.SGD(0.1, momentum=0.9)),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_leaves_nothing_behind(optimizer):
    def train(find):
        model = model_with(OPTIMIZERS[optimizer](), dropout=0.3)
        if find:
            finder = LearningRateFinder(1e-4, 1.0, steps=10)
            model.fit(X, Y, batch_size=16, epochs=9, verbose=0, callbacks=[finder])
            assert len(finder.rates) == 10
        history = model.fit(X, Y, batch_size=16, epochs=2, verbose=0).history
        return history, [np.array(v) for v in (*model.weights, *model.optimizer.variables)]

    (straight, expected), (after, found) = train(False), train(True)
    assert after == straight
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_generators_of_python_and_numpy_are_restored():
    def draw(*_, **__):
        return random.random(), np.random.normal()

    def first_draw(*_, **__):
        states = random.getstate(), np.random.get_state()
        expected.append(draw())
        random.setstate(states[0])
        np.random.set_state(states[1])

    expected: list = []
    finder, model = LearningRateFinder(1e-4, 1.0, steps=5), model_with("sgd")
    others = keras.callbacks.LambdaCallback(on_train_begin=first_draw, on_train_batch_begin=draw)
    model.fit(X, Y, batch_size=16, verbose=0, callbacks=[others, finder])
    assert len(finder.rates) == 5
    assert expected == [draw()]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_leaves_nothing_behind_if_it_is_interrupted(error):
    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                raise error

    model = model_with(optimizers.AdamW(0.01))
    model.optimizer.build(model.trainable_variables)
    before = [np.array(v) for v in (*model.weights, *model.optimizer.variables)]
    finder = LearningRateFinder(1e-4, 1.0, steps=10)
    with pytest.raises(error):
        model.fit(X, Y, batch_size=16, epochs=9, verbose=0, callbacks=[finder, Interrupt()])
    assert len(finder.rates) == 4
    for a, b in zip((*model.weights, *model.optimizer.variables), before, strict=True):
        np.testing.assert_array_equal(np.array(a), b)


def test_two_replicas(mirrored):
    with mirrored.scope():
        model = model_with(optimizers.SGD(0.1))
    before = model.get_weights()
    finder = LearningRateFinder(1e-4, 1.0, steps=5)
    model.fit(X, Y, batch_size=16, epochs=9, verbose=0, callbacks=[finder])
    assert len(finder.losses) == 5
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_ends_when_the_loss_explodes():
    model = model_with(keras.optimizers.SGD(0.1))
    finder = LearningRateFinder(1.0, 1e9, steps=40)
    model.fit(X, Y, batch_size=16, epochs=20, verbose=0, callbacks=[finder])
    assert len(finder.rates) < 40
    assert not finder.smoothed[-1] < 4 * finder.smoothed.min()
    assert np.isfinite(model.get_weights()[0]).all()


def test_a_schedule_of_keras_is_refused():
    model = model_with(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 10)))
    with pytest.raises(ValueError, match="schedule"):
        model.fit(X, Y, verbose=0, callbacks=[LearningRateFinder()])


def test_suggestions_of_a_known_curve():
    rates = np.geomspace(1e-6, 1e2, 161)
    log = np.log10(rates)
    losses = 1 / (1 + np.exp(4 * (log + 2))) + np.maximum(log, -0.5) + 0.5  # falls at -2, rises
    found = suggest(rates, losses)
    assert found["steepest"] == pytest.approx(1e-2, rel=0.2)
    assert found["minimum"] == pytest.approx(10**-0.5 / 10, rel=0.2)
    assert 1e-6 < found["valley"] < 10**-0.5
    assert set(found) == {"steepest", "minimum", "valley"}  # the final slope is constant
    assert suggest(rates[:2], losses[:2]) == {}


def test_the_steepest_descent_is_not_noise():
    """Losses that stay the same up to 1e-3, fall by 1 there, and rise from 0.2 on."""
    rates = np.geomspace(1e-6, 10.0, 100)
    log = np.log10(rates)
    clean = 0.3 + 1 / (1 + np.exp(3 * (log + 2))) + np.where(log > -0.7, 10 * (log + 0.7) ** 2, 0)
    for seed in range(20):
        losses = smooth(clean + 0.2 * np.random.default_rng(seed).normal(size=100), 0.9)
        assert 3e-3 < suggest(rates, losses)["steepest"] < 0.1, seed


@pytest.mark.parametrize("count", [3, 4, 6])
def test_few_losses_have_suggestions(count):
    rates = np.geomspace(1e-3, 1.0, count)
    found = suggest(rates, np.linspace(1.0, 0.5, count))
    assert rates[0] < found["steepest"] < rates[-1]


def test_the_longest_fall_is_the_longest():
    chance = np.random.default_rng(0)
    for _ in range(20):
        values = chance.permutation(9)
        first, last = longest_fall(values)
        best = max(
            bin(chosen).count("1")
            for chosen in range(1, 2**9)
            if all(np.diff([v for i, v in enumerate(values) if chosen >> i & 1]) < 0)
        )
        inside = max(
            bin(chosen).count("1")
            for chosen in range(1, 2**9)
            if chosen >> first & 1 and chosen >> last & 1 and not chosen >> (last + 1)
            and not chosen & ((1 << first) - 1)
            and all(np.diff([v for i, v in enumerate(values) if chosen >> i & 1]) < 0)
        )  # fmt: skip
        assert best == inside


def test_slide_stops_where_the_slope_settles():
    slopes = np.concatenate([np.zeros(40), np.linspace(0, 1, 20)])
    assert slide(slopes) == 26  # after 15 points the slope is 1/19 > 0.005; at 25 it is still 0
    assert slide(np.zeros(30)) is None


def test_smoothing_has_no_bias():
    np.testing.assert_allclose(smooth(np.full(5, 3.0), 0.9), 3.0)


class Two(keras.Sequential):
    """Logs two losses of its own, as a GAN does."""

    def train_step(self, data):
        loss = super().train_step(data)["loss"]
        return {"d_loss": loss, "g_loss": loss}


def test_a_train_step_without_a_loss_is_told_what_to_do():
    model = Two([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(optimizers.SGD(0.1), "mse")
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"`train_step` of Two.*keras\.metrics\.Mean"):
        model.fit(X, Y, verbose=0, callbacks=[LearningRateFinder()])
    for found, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_sweep_without_an_end_is_told():
    finder = LearningRateFinder(1e-4, 1.0, steps=9)
    with pytest.warns(UserWarning, match=r"after 3 of 9 rates.*none above 0\.001\. .*more epochs"):
        model_with("sgd").fit(X, Y, batch_size=32, verbose=0, callbacks=[finder])


def test_plots(tmp_path):
    model = model_with(keras.optimizers.SGD(0.1))
    finder = LearningRateFinder(1e-5, 10.0, steps=30)
    model.fit(X, Y, batch_size=16, epochs=9, verbose=0, callbacks=[finder])
    figure = finder.plot()
    figure.savefig(tmp_path / "finder.png")
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert any(name.startswith("valley") for name in names)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"low": 0}, "low"),
        ({"low": 1.0, "high": 0.5}, "high"),
        ({"steps": 2}, "steps"),
        ({"smoothing": 1.0}, "smoothing"),
        ({"diverged": 1}, "diverged"),
    ],
    ids=str,
)
def test_bad_arguments(arguments, name):
    with pytest.raises(ValueError, match=f"Argument `{name}`"):
        LearningRateFinder(**arguments)
