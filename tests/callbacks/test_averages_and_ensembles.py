"""Averages and ensembles of weights, compared with averages computed by hand."""

import keras
import numpy as np
import pytest

from keras_gdx import optimizers
from keras_gdx.callbacks import SnapshotEnsemble, WeightAverager
from keras_gdx.callbacks.weight_averager import refresh_statistics


class Trail(keras.callbacks.Callback):
    """Records the trained weights after every batch."""

    def on_train_begin(self, logs=None):
        self.weights = []

    def on_train_batch_end(self, batch, logs=None):
        self.weights.append(self.model.get_weights())


def exponential(samples, decay=0.9):
    average = samples[0]
    for n, w in enumerate(samples[1:], 2):
        d = min(decay, n / (n + 9))
        average = d * average + (1 - d) * w
    return average


KINDS = {
    "ema": ({"decay": 0.9}, exponential),
    "swa": ({}, lambda samples: np.mean(samples, axis=0)),
    "lawa": ({"window": 3}, lambda samples: np.mean(samples[-3:], axis=0)),
}


@pytest.mark.parametrize("every", ["epoch", 1, 3])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("optimizer", [keras.optimizers.SGD, optimizers.SGD])
def test_averages(kind, every, optimizer, problem):
    options, expected = KINDS[kind]
    trail, model = Trail(), problem.model(optimizer(0.1))
    average = WeightAverager(kind, start=1, every=every, **options)
    found = problem.fit(model, [trail, average], epochs=5)
    kernels = [w[0] for w in trail.weights]  # four batches per epoch, the first epoch excluded
    places = range(7, 20, 4) if every == "epoch" else range(20)
    samples = [kernels[i] for i in places if i >= 4 and (every == "epoch" or (i + 1) % every == 0)]
    np.testing.assert_allclose(model.get_weights()[0], expected(samples), rtol=1e-5)
    assert found["val_loss"][-1] == pytest.approx(
        model.evaluate(problem.x, problem.y, verbose=0), rel=1e-5
    )


def test_trained_weights_are_untouched(problem):
    with_it, without = Trail(), Trail()
    problem.fit(problem.model(), [with_it, WeightAverager("swa")], epochs=3)
    problem.fit(problem.model(), [without], epochs=3)
    np.testing.assert_equal(with_it.weights, without.weights)


@pytest.mark.parametrize("alone", [False, True])
def test_an_interrupted_evaluation_leaves_the_trained_weights(alone, problem):
    class Interrupt(keras.callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            if self.model is not None and (not alone or self.due):
                raise KeyboardInterrupt

    trail, interrupt, average = Trail(), Interrupt(), WeightAverager("ema", every=1)
    interrupt.due = False
    model = problem.model(keras.optimizers.SGD(0.1))
    if alone:
        problem.fit(model, [trail, average, interrupt], epochs=1)
        trail.weights.append(model.get_weights())
        model.set_weights([w + 1 for w in trail.weights[-1]])
        trail.weights.append(model.get_weights())
        interrupt.due = True
        with pytest.raises(KeyboardInterrupt):
            model.evaluate(problem.x, problem.y, verbose=0, callbacks=[average, interrupt])
    else:
        with pytest.raises(KeyboardInterrupt):
            problem.fit(model, [trail, average, interrupt], epochs=1)
    for a, b in zip(model.get_weights(), trail.weights[-1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_two_replicas(problem, mirrored):
    def run(scope):
        with scope:
            model = problem.model(optimizers.SGD(0.1))
        problem.fit(model, [WeightAverager("ema", every=2)], epochs=3)
        return model.get_weights()[0]

    np.testing.assert_allclose(run(mirrored.scope()), run(keras.name_scope("one")), rtol=1e-5)


def test_statistics_are_those_of_the_data():
    x = np.random.default_rng(0).normal(3.0, 2.0, size=(64, 5)).astype("float32")
    layers = [keras.layers.BatchNormalization(), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((5,)), *layers])
    random = np.array(model.layers[1].seed_generator.state)
    refresh_statistics(model, [x[:32], x[32:]])
    mean, variance = (np.array(v) for v in (layers[0].moving_mean, layers[0].moving_variance))
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-4)
    np.testing.assert_allclose(variance, (x[:32].var(0) + x[32:].var(0)) / 2, rtol=1e-4)
    assert layers[0].momentum == 0.99
    np.testing.assert_equal(np.array(model.layers[1].seed_generator.state), random)


def test_ensemble_is_the_mean_of_its_members(problem):
    trail, ensemble = Trail(), SnapshotEnsemble(2, keep=2)
    model = problem.model(keras.optimizers.SGD(0.01))
    problem.fit(model, [trail, ensemble], epochs=7)
    members = [trail.weights[4 * epoch - 1] for epoch in (4, 6)]
    np.testing.assert_equal(ensemble.members, members)
    expected = np.mean([problem.x @ w + b for w, b in members], axis=0)
    np.testing.assert_allclose(ensemble.predict(problem.x, verbose=0), expected, rtol=1e-5)
    np.testing.assert_equal(model.get_weights(), trail.weights[-1])


def test_bad_input():
    with pytest.raises(ValueError, match="kind"):
        WeightAverager("mean")
    with pytest.raises(ValueError, match="every"):
        WeightAverager(every=0)
    with pytest.raises(ValueError, match="keep"):
        SnapshotEnsemble(1, keep=0)
    with pytest.raises(ValueError, match="no cycle is complete"):
        SnapshotEnsemble(1).predict(np.ones((1, 1)))
