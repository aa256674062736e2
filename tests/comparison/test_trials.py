"""Single runs, in this process."""

from dataclasses import replace
from itertools import islice
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import keras_gdx
from keras_gdx.comparison import trial
from keras_gdx.comparison.data import data_of
from keras_gdx.comparison.plan import Task
from keras_gdx.comparison.trial import Trainer
from tests.comparison.test_planning import settings

X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
Y = X[:, :1] - X[:, 1:2] ** 2


def build():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])


def trainer(data=(X, Y), test=None, **options):
    plain = {"strategies": {"a": "sgd"}, "budget": keras_gdx.Budget(steps=6), "evaluations": 3}
    return Trainer(replace(settings(**plain | options), build=build, data=data, test=test))


def task(seed=1, phase="final", **given):
    return Task("a", phase, 0, seed, {}, **given)


def test_batches_are_permutations_by_the_seed():
    data = data_of((np.arange(15), np.arange(15)))
    assert sorted([*data.train[0], *data.validation[0]]) == [*range(15)]

    def drawn(seed):
        return [x for x, _ in islice(data.batches(5, seed), 4)]  # two of 12 examples, twice

    first, second = np.concatenate(drawn(1)[:2]), np.concatenate(drawn(1)[2:])
    assert len({*first}) == len({*second}) == 10
    assert [*first] != [*second]
    np.testing.assert_array_equal(drawn(1), drawn(1))
    assert not np.array_equal(drawn(1), drawn(2))


def test_time_is_that_of_training_after_the_first_step(monkeypatch):
    """By a clock on which a step takes a second, and an evaluation an hour."""
    now = 0.0

    def clock():
        nonlocal now
        now += 1.0
        return now

    class Slow(keras.callbacks.Callback):
        def on_test_end(self, logs=None):
            nonlocal now
            now += 3600.0

    monkeypatch.setattr(trial, "time", SimpleNamespace(perf_counter=clock))
    strategies = {"a": {"optimizer": "sgd", "callbacks": lambda: [Slow()]}}
    run = trainer(strategies=strategies, budget=keras_gdx.Budget(seconds=30)).run(task())
    assert run.status == "completed", run.message
    assert [(e.step, e.seconds) for e in run.curve] == [(11, 10.0), (21, 20.0), (31, 30.0)]
    assert (run.steps, run.seconds) == (31, 30.0)


def test_a_budget_in_energy_is_divided_evenly():
    run = trainer(budget=keras_gdx.Budget(joules=0.3)).run(task())
    assert run.status == "completed", run.message
    assert run.joules >= 0.3
    steps = [0, *(each.step for each in run.curve)]
    assert len(steps) == 4
    assert sorted({*steps}) == steps


def test_a_trial_below_its_bar_is_pruned():
    found = trainer().run(task(bars={2: 1e-9}))
    assert (found.status, len(found.curve), found.steps) == ("pruned", 2, 4)
    assert found.score == float("inf")
    assert "needed: 1e-09" in found.message


def test_datasets_shuffle_by_the_seed_and_have_their_own_batches():
    import tensorflow as tf

    def data():
        train = tf.data.Dataset.from_tensor_slices((X[:48], Y[:48])).shuffle(48).batch(12)
        return train, tf.data.Dataset.from_tensor_slices((X[48:], Y[48:])).batch(16)

    trains = trainer(data, budget=keras_gdx.Budget(examples=72))
    with pytest.raises(ValueError, match="`batch_size` must be that of the dataset"):
        trainer(data, strategies={"a": {"optimizer": "sgd", "batch_size": 3}})
    first, again, other = (trains.run(task(seed)) for seed in (1, 1, 2))
    assert first.status == "completed", first.message
    assert first.steps == 6
    assert first.score == again.score
    assert first.score != other.score


def test_test_data_is_for_final_runs_only():
    trains = trainer(test=lambda: (X[:8], Y[:8]))
    assert trains.run(task(phase="search")).test is None
    assert trains.run(task()).test > 0


def test_weights_of_examples_count():
    weights = np.where(np.arange(64) < 32, 2.0, 0.0).astype("float32")
    half = (X[:32], Y[:32])
    plain, weighted = trainer((half, half)), trainer((half, (X, Y, weights)))
    wanted = plain.run(task()).score
    np.testing.assert_allclose(weighted.run(task()).score, wanted, rtol=1e-5)
