"""Budgets of time, throughput, penalties, and evaluation within epochs."""

import keras
import numpy as np
import pytest

import keras_gdx
from keras_gdx import callbacks, regularizers
from keras_gdx.callbacks._lib.duration import seconds


class Clock:
    """A clock that advances by itself, so that tests need not wait."""

    def __init__(self, tick):
        self.now = 0.0
        self.tick = tick

    def __call__(self):
        self.now += self.tick
        return self.now


# -- lengths of time -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2h30m", 9000), ("90s", 90), ("90 s", 90), ("1.5 hours", 5400), ("1d 2h", 93600),
     ("10 minutes", 600), ("3min 5sec", 185), (7, 7), (0.5, 0.5)],
)  # fmt: skip
def test_durations(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "bad",
    ["", "soon", "5", "5x", "500ms", "3 months", "5 dogs", "-5s", "0s", 0, -1, None, True, "2h30"],
)
def test_what_is_no_duration_is_refused(bad):
    with pytest.raises(ValueError, match="`budget` must be"):
        callbacks.TimeBudget(bad)


# -- time budget -----------------------------------------------------------------------------


def spend(problem, budget, epochs=5, tick=1.0, **options):
    """Each reading of the clock advances it by a second: one per batch and one per epoch."""
    callback = callbacks.TimeBudget(budget, **options)
    callback._clock = Clock(tick)
    model = problem.model(keras_gdx.optimizers.SGD(0.01))
    problem.fit(model, [callback], epochs)
    return int(model.optimizer.iterations.numpy()), callback


def test_stops_before_the_time_is_up_and_closes_the_epoch(problem):
    assert spend(problem, 100)[0] == 20
    assert spend(problem, 3)[0] == 3
    steps, callback = spend(problem, 9)  # 4 batches, a validation, 4 batches
    assert steps == 8
    assert callback.memory.seconds <= 10
    assert spend(problem, 10, reserve=4)[0] == 5


def test_the_rest_of_the_budget_is_what_an_interruption_left(problem):
    _, first = spend(problem, 100, epochs=1)
    second = callbacks.TimeBudget(8)
    second._clock = Clock(1.0)
    second.restore(first.state())
    assert first.state() == {"seconds": 5.0}
    model = problem.model(keras_gdx.optimizers.SGD(0.01))
    problem.fit(model, [second], epochs=3, initial_epoch=1)
    assert model.optimizer.iterations.numpy() == 3


def test_a_real_clock(problem):
    import time

    begin = time.monotonic()
    problem.fit(problem.model(), [callbacks.TimeBudget("1.5s")], epochs=10**6)
    assert time.monotonic() - begin < 30


def test_a_reserve_is_less_than_the_budget():
    with pytest.raises(ValueError, match="`reserve` must be less"):
        callbacks.TimeBudget("1m", reserve="1m")


# -- throughput ------------------------------------------------------------------------------


def test_throughput_leaves_validation_out(problem):
    callback = callbacks.ThroughputMonitor(batch_size=4)
    callback._clock = Clock(2.0)
    history = problem.fit(problem.model(), [callback], epochs=2)
    assert history["step_milliseconds"] == [500.0, 500.0]  # 2 s over 4 batches
    assert history["examples_per_second"] == [8.0, 8.0]
    assert history["peak_memory_mib"][0] > 10
    with pytest.raises(ValueError, match="`batch_size` must be"):
        callbacks.ThroughputMonitor(0)


def test_throughput_counts_the_batches_that_there_were(problem):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 1

    callback = callbacks.ThroughputMonitor()
    callback._clock = Clock(2.0)
    history = problem.fit(problem.model(), [callback, Stop()], epochs=1)
    assert history["step_milliseconds"] == [1000.0]  # 2 s over 2 batches of 4


# -- penalties -------------------------------------------------------------------------------


def test_penalties_by_kind():
    layers = [
        keras.layers.Dense(4, kernel_regularizer=regularizers.L2(0.1), name="a"),
        keras.layers.Dense(4, kernel_regularizer=regularizers.GroupLasso(0.1), name="b"),
        keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(0.2), name="c"),
    ]
    net = keras.Sequential([keras.Input((3,)), *layers])
    net.compile(keras_gdx.optimizers.SGD(0.0), "mse")
    history = net.fit(
        np.zeros((8, 3)), np.zeros((8, 1)), verbose=0, callbacks=[callbacks.RegularizationMonitor()]
    ).history
    parts = [float(layer.kernel.regularizer(layer.kernel)) for layer in layers]
    np.testing.assert_allclose(history["regularization"][0], sum(parts), rtol=1e-6)
    np.testing.assert_allclose(history["regularization"], history["loss"], rtol=1e-6)
    np.testing.assert_allclose(history["regularization_l2"][0], parts[0] + parts[2], rtol=1e-6)
    np.testing.assert_allclose(history["regularization_grouplasso"][0], parts[1], rtol=1e-6)


# -- validation between epochs ---------------------------------------------------------------


class Weights(keras.callbacks.Callback):
    """The weights after each batch."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(self.model.get_weights())


def test_evaluates_every_so_many_steps_what_evaluate_would(problem):
    weights = Weights()
    evaluator = callbacks.StepEvaluator((problem.x, problem.y), every=3, batch_size=8)
    model = problem.model(keras.optimizers.SGD(0.05))
    problem.fit(model, [weights, evaluator], epochs=3)
    assert [each["step"] for each in evaluator.history] == [3, 6, 9, 12]
    for each in evaluator.history:
        model.set_weights(weights.seen[each["step"] - 1])
        assert model.evaluate(problem.x, problem.y, batch_size=8, verbose=0) == each["loss"]


@pytest.mark.parametrize("steps_per_execution", [1, 3])
def test_leaves_training_and_its_metrics_alone(problem, steps_per_execution):
    histories = []
    for extra in ([], [callbacks.StepEvaluator((problem.x, problem.y), every=1)]):
        model = problem.model(
            keras_gdx.optimizers.ScheduleFreeSGD(0.1),
            metrics=["mae"],
            steps_per_execution=steps_per_execution,
        )
        histories.append(problem.fit(model, extra, epochs=3))
    assert histories[0] == histories[1]


def test_sees_the_evaluation_weights(problem):
    evaluator = callbacks.StepEvaluator((problem.x, problem.y), every=4)
    model = problem.model(keras_gdx.optimizers.ScheduleFreeSGD(0.1))
    history = problem.fit(model, [evaluator], epochs=3)
    found = [each["loss"] for each in evaluator.history]
    np.testing.assert_allclose(found, history["val_loss"], rtol=1e-6)


def test_stops_after_so_many_steps_without_improvement(problem):
    evaluator = callbacks.StepEvaluator((problem.x, problem.y), every=2, patience=3)
    model = problem.model(keras_gdx.optimizers.SGD(0.0))
    problem.fit(model, [evaluator], epochs=5)
    assert model.optimizer.iterations.numpy() == 6  # the first is the best; two more are >= 3 steps
    model = problem.model(keras_gdx.optimizers.SGD(0.01))
    evaluator = callbacks.StepEvaluator((problem.x, problem.y), every=2, patience=3)
    problem.fit(model, [evaluator], epochs=5)
    assert model.optimizer.iterations.numpy() == 20


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"every": 0}, "`every`"),
        ({"every": 2.5}, "`every`"),
        ({"every": 1, "patience": 0}, "`patience`"),
        ({"every": 1, "mode": "up"}, "`mode`"),
        ({"every": 1, "monitor": "something"}, "`mode`"),
        ({"every": 1, "min_delta": -1}, "`min_delta`"),
    ],
)
def test_step_evaluator_says_what_is_wrong(options, match):
    with pytest.raises(ValueError, match=match):
        callbacks.StepEvaluator((np.ones(1), np.ones(1)), **options)


def test_step_evaluator_names_the_metrics_that_there_are(problem):
    evaluator = callbacks.StepEvaluator((problem.x, problem.y), every=1, monitor="accuracy")
    with pytest.raises(
        ValueError, match=r"one of 'loss'\. Received: StepEvaluator\(monitor='accuracy'\)"
    ):
        problem.fit(problem.model(), [evaluator])
