"""Batches are counted one by one, with any `steps_per_execution` and after interruptions."""

import numpy as np
import pytest

from keras_gdx import callbacks, optimizers

X = np.random.default_rng(0).normal(size=(28, 3)).astype("float32")  # seven batches
COUNTING = {
    "StepEvaluator": lambda: callbacks.StepEvaluator((X, X[:, :1]), every=4),
    "MagnitudePruning": lambda: callbacks.MagnitudePruning(end=12, every=4),
    "DynamicSurgery": lambda: callbacks.DynamicSurgery(end=12, every=4),
    "FaultGuard": lambda: callbacks.FaultGuard(every=4, spike=None),
    "EnergyBudget": lambda: callbacks.EnergyBudget("1 kWh", every=4),
    "WeightAverager": lambda: callbacks.WeightAverager(every=4),
    "GradientMonitor": lambda: callbacks.GradientMonitor((X, X[:, :1]), every=4, parts=2),
    "SharpnessMonitor": lambda: callbacks.SharpnessMonitor((X, X[:, :1]), every=4, iterations=1),
}


class Interrupt(callbacks.Callback):
    """Raises after some batches of the second epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self._epoch == 1 and batch >= 5:
            raise KeyboardInterrupt


def counts(problem, watch, *others, seen):
    """Trains, and records the counts."""
    count = watch.count

    def spy(batch):
        due = count(batch)
        seen.append((watch.memory.step, due))
        return due

    watch.count = spy
    model = problem.model(optimizers.SGD(0.01), steps_per_execution=3)
    model.fit(
        X, X[:, :1], batch_size=4, epochs=2, verbose=0, shuffle=False, callbacks=[watch, *others]
    )
    return watch


@pytest.mark.parametrize("name", COUNTING)
def test_several_batches_are_one_execution(name, problem):
    seen = []
    counts(problem, COUNTING[name](), seen=seen)
    assert seen == [(3, False), (6, True), (7, False), (10, True), (13, True), (14, False)]


@pytest.mark.parametrize("name", COUNTING)
def test_goes_on_within_an_epoch(name, problem, tmp_path):
    def keep():
        return callbacks.ResumableCheckpoint(tmp_path, every="3 steps", on_signal=False)

    before, after = [], []
    with pytest.raises(KeyboardInterrupt):
        counts(problem, COUNTING[name](), Interrupt(), keep(), seen=before)
    counts(problem, COUNTING[name](), keep(), seen=after)
    assert before == [(3, False), (6, True), (7, False), (10, True), (13, True)]
    assert after == [(13, True), (14, False)]


def test_a_fault_after_an_interruption_goes_back_to_where_it_went_on(problem, tmp_path):
    def keep():
        return callbacks.ResumableCheckpoint(tmp_path / "kept", every="3 steps", on_signal=False)

    straight = counts(problem, callbacks.FaultGuard(every=4), seen=[])
    with pytest.raises(KeyboardInterrupt):
        counts(problem, callbacks.FaultGuard(every=4), Interrupt(), keep(), seen=[])
    guard = callbacks.FaultGuard(every=100)
    resumed = counts(problem, guard, keep(), seen=[])
    assert resumed.memory.losses == pytest.approx(straight.memory.losses, rel=1e-5)
    assert guard._copies.get()["step"] == 10  # seven batches of the first epoch, and three


def test_what_a_monitor_saw_before_an_interruption_is_in_the_logs_of_the_epoch(problem, tmp_path):
    def keep():
        return callbacks.ResumableCheckpoint(tmp_path, every="3 steps", on_signal=False)

    def watch():
        return callbacks.SharpnessMonitor((X, X[:, :1]), every=4, iterations=1)

    straight = counts(problem, watch(), seen=[]).model.history.history
    with pytest.raises(KeyboardInterrupt):
        counts(problem, watch(), Interrupt(), keep(), seen=[])
    resumed = counts(problem, watch(), keep(), seen=[]).model.history.history
    assert resumed["sharpness"] == straight["sharpness"]
    assert len(straight["sharpness"]) == 2
