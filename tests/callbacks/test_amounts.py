"""Amounts such as `"500 steps"`, `"2 epochs"` and `"10 minutes"`: how they are read, when they end.

`test_counting.py` has the same for integers, within an epoch and after an interruption.
"""

import keras
import numpy as np
import pytest

from keras_gdx import optimizers
from keras_gdx.callbacks import (
    BatchSizeSchedule,
    Callback,
    EnergyBudget,
    FaultGuard,
    GradientMonitor,
    HyperparameterLogger,
    MagnitudePruning,
    PlateauController,
    ResumableCheckpoint,
    SharpnessMonitor,
    SnapshotEnsemble,
    StepEvaluator,
    Unfreezing,
    WeightAverager,
)
from keras_gdx.callbacks._lib.amount import Amount, amount

UNITS = ("steps", "epochs", "seconds")

# -- reading them ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (500, (500, "steps")), ("500 steps", (500, "steps")), ("1 step", (1, "steps")),
        ("batch", (1, "steps")), ("20 batches", (20, "steps")), ("epoch", (1, "epochs")),
        ("1 epoch", (1, "epochs")), ("2 Epochs", (2, "epochs")), ("10 minutes", (600, "seconds")),
        ("1 hour", (3600, "seconds")), ("90 seconds", (90, "seconds")),
        ("2h30m", (9000, "seconds")), (np.int64(7), (7, "steps")),
    ],
)  # fmt: skip
def test_amounts(text, expected):
    assert amount(text, UNITS) == expected


@pytest.mark.parametrize(
    "wrong",
    [0, -1, 1.5, 3.0, True, None, "", "5", "steps 5", "0 steps", "1.5 epochs", "0s", "months",
     "3 dogs", "-2 steps", "2 epochs 3 steps", float("nan"), float("inf"), ["epoch"], b"epoch"],
)  # fmt: skip
def test_what_is_no_amount(wrong):
    assert amount(wrong, UNITS) is None


def test_an_integer_is_in_the_first_unit_and_others_are_refused():
    assert amount(2, ("epochs", "steps")) == Amount(2, "epochs")
    assert amount("2 epochs", ("steps",)) is None
    assert amount(0, ("steps",), least=0) == Amount(0, "steps")


def test_what_is_refused_is_told_with_what_is_allowed():
    with pytest.raises(ValueError, match=r"`every` .*'500 steps' or '2 epochs', .*every='5 hours'"):
        MagnitudePruning(every="5 hours")
    with pytest.raises(ValueError, match=r"`every` .*'2 epochs' or '10 minutes'.*every='batchs'"):
        ResumableCheckpoint("runs", every="batchs")
    with pytest.raises(ValueError, match=r"`milestones` .*from epochs >= 0"):
        BatchSizeSchedule({"5 steps": 2})
    with pytest.raises(ValueError, match=r"`stages` .*each once, to regular expressions"):
        Unfreezing({1: "head", "1 epoch": "body"})


def test_the_end_of_an_interval():
    four = Amount(4, "steps")
    assert [four.after_steps(*steps) for steps in ((0, 3), (3, 4), (4, 7), (2, 9))] == [
        False, True, False, True,
    ]  # fmt: skip
    assert [Amount(2, "epochs").after_epoch(epoch) for epoch in range(4)] == [False, True] * 2
    assert not Amount(1, "epochs").after_steps(0, 100)
    assert not Amount(1, "steps").after_epoch(0)
    assert Amount(5.0, "seconds").after_seconds(5.0)
    assert not Amount(5.0, "seconds").after_seconds(4.9)


# -- acting by them: four batches per epoch ----------------------------------------------------


class Clock:
    """A clock that a batch advances by a second."""

    now = 0.0

    def __call__(self):
        return self.now


class Tick(keras.callbacks.Callback):
    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def on_train_batch_end(self, batch, logs=None):
        self.clock.now += 1


def acted(problem, callback, epochs=6, **options):
    """Trains with a callback; returns it."""
    callback._clock = Clock()
    model = problem.model(optimizers.SGD(0.01), **options)
    problem.fit(model, [Tick(callback._clock), callback], epochs)
    return callback


@pytest.mark.parametrize(
    ("every", "expected"),
    [("5 steps", [5, 10, 15, 20]), ("epoch", [4, 8, 12, 16, 20, 24]), ("2 epochs", [8, 16, 24]),
     ("7 seconds", [7, 14, 21]), ("0.1 minutes", [6, 12, 18, 24])],
)  # fmt: skip
def test_evaluates_by_each_unit(every, expected, problem):
    evaluator = StepEvaluator((problem.x, problem.y), every)
    assert [each["step"] for each in acted(problem, evaluator).history] == expected


@pytest.mark.parametrize("monitor", [GradientMonitor, SharpnessMonitor])
def test_measures_after_the_last_batch_of_an_epoch(monitor, problem):
    for options in ({}, {"steps_per_execution": 3}):
        watch = acted(problem, monitor((problem.x, problem.y), "2 epochs", 2), 4, **options)
        assert [each["step"] for each in watch.history] == [8, 16]


@pytest.mark.parametrize(("every", "back_to"), [("epoch", 8), ("2 epochs", 8), ("3 seconds", 9)])
def test_copies_by_each_unit(every, back_to, problem):
    class Poison(Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if self.model.optimizer.iterations == 10:
                kernel = self.model.trainable_variables[0]
                kernel.assign(kernel * np.nan)

    guard = FaultGuard(every)
    guard._clock = Clock()
    model = problem.model(optimizers.SGD(0.01))
    problem.fit(model, [Poison(), Tick(guard._clock), guard], 3, validation_data=None)
    assert [(fault["step"], fault["back_to"]) for fault in guard.faults] == [(11, back_to)]


def test_energy_of_a_whole_interval(problem, monkeypatch):
    """2 J per reading: readings at the ends of epochs are part of an interval."""
    monkeypatch.setattr("keras_gdx.callbacks._lib.energy.Counters", Joules)
    budget = EnergyBudget("1 kWh", every="6 steps")
    acted(problem, budget, 3)
    assert budget._next * 3.6e6 == pytest.approx(4.0)  # at step 8 and step 12


class Joules:
    """Counters that add 2 J with each reading."""

    labels = {"processor": "measured"}

    def __init__(self, watts_per_core):
        pass

    def joules(self):
        return {"processor": 2.0}

    def close(self):
        pass


@pytest.mark.parametrize(
    ("every", "batches", "epochs"),
    [("2 epochs", [], 3), ("batch", [*range(1, 25)], 6), ("9 steps", [9, 18], 6),
     (9, [9, 18], 6), ("10 seconds", [10, 20], 6)],
)  # fmt: skip
def test_logs_by_each_unit(every, batches, epochs, problem):
    class Reader(Callback):
        def __init__(self):
            super().__init__()
            self.steps, self.found = 0, []

        def on_train_batch_end(self, batch, logs=None):
            self.steps += 1
            if "momentum" in logs:
                self.found.append(self.steps)

    logger, reader = HyperparameterLogger(["momentum"], every), Reader()
    logger._clock = Clock()
    model = problem.model(optimizers.SGD(0.01))
    history = problem.fit(model, [Tick(logger._clock), logger, reader], epochs=6)
    assert reader.found == batches
    assert len(history["momentum"]) == epochs


def test_saves_by_each_unit(problem, tmp_path):
    for every, expected in {
        "batch": [22, 23, 24],
        "5 steps": [15, 20, 24],
        7: [14, 21, 24],
        "2 epochs": [8, 16, 24],
        "4 epochs": [16, 24],
        "9 seconds": [9, 18, 24],
    }.items():
        keep = ResumableCheckpoint(tmp_path / str(every), every, on_signal=False)
        acted(problem, keep)
        found = (tmp_path / str(every)).glob("checkpoint-*")
        assert sorted(int(path.name.rpartition("-")[2]) for path in found) == expected, every


def test_plateaus_over_several_epochs(problem):
    control = PlateauController("val_loss", every="2 epochs", patience=1, min_delta=0.99)
    acted(problem, control, epochs=8)
    assert [change["epoch"] for change in control.changes] == [3, 5, 7]


def test_members_by_steps_and_epochs(problem):
    for every, expected in {2: 3, "2 epochs": 3, "8 steps": 3, "5 steps": 4, "epoch": 6}.items():
        assert len(acted(problem, SnapshotEnsemble(every)).members) == expected


def averages(problem, **options):
    return acted(problem, WeightAverager("swa", **options)).averages[0]


def test_the_same_start_in_steps_and_epochs(problem):
    for every in ("epoch", "3 steps", "2 epochs"):
        expected = averages(problem, start=2, every=every)
        np.testing.assert_array_equal(averages(problem, start="2 epochs", every=every), expected)
        np.testing.assert_array_equal(averages(problem, start="8 steps", every=every), expected)
    at_ends = averages(problem, start=1, every="epoch")
    np.testing.assert_array_equal(averages(problem, start=1, every="4 steps"), at_ends)
    later = averages(problem, start="9 steps", every="step")
    assert (later != averages(problem, start="8 steps", every="step")).any()


def test_prunes_by_epochs_as_by_steps(problem):
    weights = []
    for begin, end, every in ((4, 16, 8), ("1 epoch", "4 epochs", "2 epochs"), (4, "4 epochs", 8)):
        model = problem.model(optimizers.SGD(0.1))
        problem.fit(model, [MagnitudePruning(0.7, begin, end, every, include="out")], 6)
        weights.append(model.get_weights()[0])
    assert (weights[0] == 0).sum() == 2
    np.testing.assert_array_equal(weights[1], weights[0])
    np.testing.assert_array_equal(weights[2], weights[0])
    for begin, end in (("2 epochs", "2 epochs"), ("3 epochs", "2 epochs"), (8, 8)):
        with pytest.raises(ValueError, match="`end` must be more than `begin`"):
            MagnitudePruning(0.5, begin, end)
    with pytest.raises(ValueError, match="`end` must be more than `begin`"):
        problem.fit(problem.model(), [MagnitudePruning(0.5, "2 epochs", "8 steps")])


# -- an epoch of unknown length ----------------------------------------------------------------


def fit_without_length(problem, callback):
    def batches():
        for i in range(0, 16, 4):
            yield problem.x[i : i + 4], problem.y[i : i + 4]

    model = problem.model(optimizers.SGD(0.01))
    before = model.get_weights()
    try:
        model.fit(batches(), verbose=0, callbacks=[callback])
    finally:
        np.testing.assert_equal(np.array_equal(model.get_weights()[0], before[0]), callback.refused)


def test_epochs_of_unknown_length_are_refused_where_their_end_must_be_foreseen(problem):
    for callback, name in (
        (FaultGuard("epoch"), "every"),
        (StepEvaluator((problem.x, problem.y), "2 epochs"), "every"),
        (MagnitudePruning(end="3 epochs"), "end"),
    ):
        callback.refused = True
        with pytest.raises(ValueError, match=rf"`{name}` must be in steps.*`steps_per_epoch`"):
            fit_without_length(problem, callback)
    for callback in (WeightAverager(), SnapshotEnsemble(1), FaultGuard(2)):
        callback.refused = False
        fit_without_length(problem, callback)


# -- stages in steps ---------------------------------------------------------------------------


class Trained(keras.callbacks.Callback):
    """The number of trainable variables in each batch, and whether the body moved."""

    def on_train_begin(self, logs=None):
        self.moved, self.before = [], self.model.get_layer("body").get_weights()[0]

    def on_train_batch_end(self, batch, logs=None):
        now = self.model.get_layer("body").get_weights()[0]
        self.moved.append(bool((now != self.before).any()))
        self.before = now


def thaw(problem, stages, epochs, *others, **options):
    layers = [keras.layers.Dense(3, name="body"), keras.layers.Dense(1, name="head")]
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile(optimizers.SGD(0.01), "mse", **options)
    watch = Trained()
    problem.fit(model, [watch, Unfreezing(stages), *others], epochs, validation_data=None)
    return watch.moved, model.get_weights()


def test_unfreezes_within_an_epoch(problem):
    moved, _ = thaw(problem, {0: "head", "6 steps": "body"}, 2)
    assert moved == [False] * 6 + [True] * 2
    moved, _ = thaw(problem, {0: "head", "6 steps": "body"}, 3, steps_per_execution=4)
    assert moved == [False, False, True]  # from the end of the execution on
    by_epoch, by_step = (thaw(problem, {0: "head", key: "body"}, 2) for key in (1, "4 steps"))
    assert by_epoch[0] == by_step[0]
    np.testing.assert_equal(by_epoch[1], by_step[1])


def test_unfreezes_within_an_epoch_on_two_replicas(problem, mirrored):
    stages = {0: "head", "6 steps": "body"}
    moved, weights = thaw(problem, stages, 2)
    with mirrored.scope():
        same_moved, same = thaw(problem, stages, 2)
    assert same_moved == moved
    for a, b in zip(same, weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_unfreezing_goes_on_within_an_epoch(problem, tmp_path):
    class Interrupt(Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations == 7:
                raise KeyboardInterrupt

    def keep():
        return ResumableCheckpoint(tmp_path, every="step", on_signal=False)

    stages = {0: "head", "6 steps": "body"}
    _, straight = thaw(problem, stages, 2)
    with pytest.raises(KeyboardInterrupt):
        thaw(problem, stages, 2, Interrupt(), keep())
    moved, resumed = thaw(problem, stages, 2, keep())
    assert moved == [True, True]
    np.testing.assert_equal(resumed, straight)


# -- together ----------------------------------------------------------------------------------


class Interrupt(Callback):
    """Raises after the tenth update, in the middle of the third epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations == 10:
            raise KeyboardInterrupt


def test_all_of_them_go_on_together(problem, tmp_path):
    data = (problem.x, problem.y)

    def make():
        return [
            FaultGuard("2 epochs"),
            MagnitudePruning(0.7, "1 epoch", "4 epochs", "3 steps", include="out"),
            WeightAverager("swa", start="6 steps", every="2 epochs"),
            SnapshotEnsemble("5 steps"),
            HyperparameterLogger(every="2 epochs"),
            GradientMonitor(data, "epoch", 2),
            StepEvaluator(data, "7 steps"),
            PlateauController("loss", every="3 steps", patience=1, min_delta=0.5),
        ]

    def train(folder, watches, *others):
        model = problem.model(optimizers.SGD(0.01))
        keep = ResumableCheckpoint(folder, "step", on_signal=False)
        history = problem.fit(model, [*watches, *others, keep], 5)
        return history, model.get_weights(), [watch.state() for watch in watches]

    straight = train(tmp_path / "straight", make())
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken", make(), Interrupt())
    resumed = train(tmp_path / "broken", make())
    np.testing.assert_equal(resumed, straight)
    acted_at = [[row["step"] for row in state.get("history", ())] for state in straight[2]]
    assert acted_at[5:7] == [[4, 8, 12, 16, 20], [7, 14]]
    assert len(straight[2][3]["members"]) == 4


# -- patience ----------------------------------------------------------------------------------


def test_patience_is_in_the_unit_of_every(problem):
    data = (problem.x, problem.y)
    for every, patience, steps in (("2 steps", 3, 6), ("epoch", "2 epochs", 12), (2, "4 steps", 6)):
        model = problem.model(optimizers.SGD(0.0))
        problem.fit(model, [StepEvaluator(data, every, patience=patience)], epochs=5)
        assert model.optimizer.iterations == steps
    with pytest.raises(ValueError, match="`patience` must be in the unit of `every`, epochs"):
        StepEvaluator(data, "epoch", patience=3)
