"""Real processes, killed at random times and stopped by a signal."""

import json
import os
import random
import signal
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_gdx.callbacks import ResumableCheckpoint
from keras_gdx.callbacks.resumable_checkpoint import EXIT_CODE
from tests.programs import Program

KILLS = int(os.environ.get("KERAS_GDX_KILLS", "6"))


def start(folder, result):
    return Program("-m", "tests.resume.training", folder, result)


def checkpoints(folder):
    return {path.name for path in Path(folder).glob("checkpoint-*")}


def until_it_trains(process, folder, before):
    deadline = time.monotonic() + 120
    while checkpoints(folder) <= before and process.poll() is None:
        assert time.monotonic() < deadline, "it does not begin to train"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    process = start(folder / "run", folder / "result")
    assert process.wait(240) == 0
    return json.loads((folder / "result").read_text())


@pytest.mark.timeout(60 + 30 * KILLS)
def test_killed_again_and_again(whole, tmp_path):
    chance, killed = random.Random(os.environ.get("KERAS_GDX_SEED", "0")), 0
    while killed < KILLS:
        process = start(tmp_path / "run", tmp_path / "result")
        until_it_trains(process, tmp_path / "run", checkpoints(tmp_path / "run"))
        time.sleep(chance.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        if (tmp_path / "result").exists():  # it finished first: compare, and run again
            assert json.loads((tmp_path / "result").read_text()) == whole
            (tmp_path / "result").unlink()
            (tmp_path / "run").rename(tmp_path / f"run-{killed}-{time.monotonic_ns()}")
    assert start(tmp_path / "run", tmp_path / "result").wait(240) == 0
    assert json.loads((tmp_path / "result").read_text()) == whole


def test_a_signal_saves_and_leaves(whole, tmp_path):
    process = start(tmp_path / "run", tmp_path / "result")
    until_it_trains(process, tmp_path / "run", set())
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == EXIT_CODE == 75
    assert not (tmp_path / "result").exists()
    assert start(tmp_path / "run", tmp_path / "result").wait(240) == 0
    assert json.loads((tmp_path / "result").read_text()) == whole


@pytest.mark.parametrize("hook", ["on_train_begin", "on_train_end"])
def test_a_signal_at_the_edge_of_training_is_not_swallowed(hook, tmp_path):
    """Also if nothing is left to train."""

    def fit(epochs, *more):
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        listed = [*more, ResumableCheckpoint(tmp_path)]
        history = model.fit(np.ones((4, 1)), np.ones((4, 1)), epochs=epochs, verbose=0,
                            callbacks=listed)  # fmt: skip
        return history.epoch

    before = signal.getsignal(signal.SIGTERM)
    stop = keras.callbacks.LambdaCallback(
        **{hook: lambda logs: signal.raise_signal(signal.SIGTERM)}
    )
    for _ in range(2):
        with pytest.raises(SystemExit) as left:
            fit(1, stop)
        assert left.value.code == EXIT_CODE
    assert signal.getsignal(signal.SIGTERM) is before
    assert fit(1) == [0]
