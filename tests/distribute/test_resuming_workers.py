"""Workers that are killed, stopped and restarted, compared with uninterrupted workers."""

import json
import os
import random
import signal
import time

import numpy as np
import pytest

from keras_gdx.callbacks.resumable_checkpoint import EXIT_CODE
from tests.distribute.processes import finish, start, succeed, workers

KILLS = int(os.environ.get("KERAS_GDX_KILLS", "1"))
pytestmark = pytest.mark.timeout(600 + 120 * KILLS)


def program(folder):
    """Resumes training in `folder`, each worker with two replicas that own parts of the state."""

    def arguments(index):
        words = [folder / "run", folder / f"result-{index}", 2, "in pieces"]
        return ["-m", "tests.resume.training", *map(str, words)]

    return arguments


def checkpoints(folder):
    return sorted(path.name for path in (folder / "run").glob("checkpoint-*"))


def started(folder):
    """The workers, once they have trained."""
    before, running = checkpoints(folder), start(program(folder))
    deadline = time.monotonic() + 120
    while checkpoints(folder) <= before and all(p.poll() is None for p in running):
        assert time.monotonic() < deadline, "they do not begin to train"
        time.sleep(0.005)
    return running


def results(folder):
    found = [json.loads((folder / f"result-{i}").read_text()) for i in range(2)]
    assert np.isfinite(found[0]["history"]["loss"]).all()
    return found


def kill(folder, victim, after):
    """One worker is killed; the other raises an error and ends. Returns whether it was in time."""
    running = started(folder)
    time.sleep(after)
    running[victim].send_signal(signal.SIGKILL)
    ended = finish(running)
    if ended[victim][1] != -signal.SIGKILL:
        return False
    errors, code = ended[1 - victim]
    assert code == 0 or "workers was lost" in errors, errors[-3000:]
    return True


def test_killed_again_and_again(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
    succeed(program(whole))
    expected = results(whole)
    first, second = expected
    assert first["weights"] == second["weights"]
    assert first["state"] != second["state"]  # each has its own shard

    chance, killed = random.Random(os.environ.get("KERAS_GDX_SEED", "0")), 0
    while killed < KILLS:
        killed += kill(cut, chance.randrange(2), chance.uniform(0, 0.2))
        if len([*cut.glob("result-*")]) == 2:  # it finished first: compare, and run again
            assert results(cut) == expected
            for each in cut.glob("result-*"):
                each.unlink()
            (cut / "run").rename(cut / f"run-{time.monotonic_ns()}")
    succeed(program(cut))
    assert results(cut) == expected


RESIZED = """
import os, signal, sys
import keras, numpy as np
from keras_gdx import distribute
from tests.resume import test_resizing as training
folder, batches, *optimizers = sys.argv[1:]

class Stop(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.left = int(batches)

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGTERM)

strategy = distribute.strategy()
codes = {0}
for optimizer in optimizers:
    try:
        model, _ = training.train(optimizer, f"{folder}/{optimizer}", strategy, callbacks=[Stop()])
        np.savez(f"{folder}/{optimizer}.npz", *model.get_weights())
    except SystemExit as end:
        codes.add(end.code)
sys.exit(max(codes))
"""


def test_more_workers_and_fewer_go_on(tmp_path):
    """Two workers, then three, then one. A signal to the last stops all within an epoch."""
    optimizers = ["in pieces", "in stacks"]

    def run(count, folder, stop_after):
        def program(index):
            batches = stop_after if index == count - 1 else 0
            return ["-c", RESIZED, str(tmp_path / folder), str(batches), *optimizers]

        ended = workers(program, count)
        assert [code for _, code in ended] == [EXIT_CODE if stop_after else 0] * count, ended
        return [errors for errors, _ in ended]

    def stopped_after():
        folders = [tmp_path / "resized" / optimizer for optimizer in optimizers]
        return {max(path.name for path in each.glob("checkpoint-*")) for each in folders}

    run(2, "resized", 4)  # workers tell each other in the next batch; every fourth is saved anyway
    assert stopped_after() == {"checkpoint-000000005"}
    for errors in run(3, "resized", 4):
        said = "was saved by 2 workers with 1 replicas each, and this run has 3 with 1"
        assert errors.count(said) == len(optimizers)
        assert "retracing" not in errors  # what workers tell each other is one program
    assert stopped_after() == {"checkpoint-000000010"}
    (errors,) = run(1, "resized", 0)
    said = "was saved by 3 workers with 1 replicas each, and this run has 1 with 1"
    assert errors.count(said) == len(optimizers)
    run(1, "straight", 0)
    for optimizer in optimizers:
        names = [tmp_path / folder / f"{optimizer}.npz" for folder in ("resized", "straight")]
        found, expected = map(np.load, names)
        for name in expected:
            np.testing.assert_allclose(found[name], expected[name], atol=1e-5)
