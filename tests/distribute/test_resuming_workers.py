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

KILLS = int(os.environ.get("KERAS_GDX_KILLS", "3"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300 + 120 * KILLS),
    pytest.mark.xdist_group("processes"),
]


def program(folder, replicas=1, *optimizer):
    """Resumes training in `folder`, as worker `index`."""

    def arguments(index):
        result = [str(folder / f"result-{index}"), str(replicas)]
        return ["-m", "tests.resume.training", str(folder / "run"), *result, *optimizer]

    return arguments


def checkpoints(folder):
    return sorted(path.name for path in (folder / "run").glob("checkpoint-*"))


def until_it_trains(running, folder, before):
    deadline = time.monotonic() + 120
    while checkpoints(folder) <= before and all(p.poll() is None for p in running):
        assert time.monotonic() < deadline, "it does not begin to train"
        time.sleep(0.005)


def results(folder):
    found = [json.loads((folder / f"result-{i}").read_text()) for i in range(2)]
    assert np.isfinite(found[0]["history"]["loss"]).all()
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    succeed(program(folder))
    found, other = results(folder)
    assert found == other
    return found


def test_killed_again_and_again(whole, tmp_path):
    """One worker is killed, the other raises an error and ends, and both resume."""
    chance, killed = random.Random(os.environ.get("KERAS_GDX_SEED", "0")), 0
    while killed < KILLS:
        running = start(program(tmp_path))
        until_it_trains(running, tmp_path, checkpoints(tmp_path))
        time.sleep(chance.uniform(0, 0.2))
        victim = chance.randrange(2)
        running[victim].send_signal(signal.SIGKILL)
        ended = finish(running)
        if ended[victim][1] == -signal.SIGKILL:
            killed += 1
            errors, code = ended[1 - victim]
            assert code == 0 or "workers was lost" in errors, errors[-3000:]
        if all(code == 0 for _, code in ended):  # it finished first: compare, and run again
            assert results(tmp_path) == [whole, whole]
            (tmp_path / "run").rename(tmp_path / f"run-{time.monotonic_ns()}")
    succeed(program(tmp_path))
    assert results(tmp_path) == [whole, whole]


@pytest.mark.parametrize("told", [0, 1])
def test_a_signal_to_one_stops_all_at_the_same_batch(told, whole, tmp_path):
    running = start(program(tmp_path))
    until_it_trains(running, tmp_path, [])
    running[told].send_signal(signal.SIGTERM)
    assert [code for _, code in finish(running)] == [EXIT_CODE, EXIT_CODE]
    assert not (tmp_path / "result-0").exists()
    succeed(program(tmp_path))
    assert results(tmp_path) == [whole, whole]


def test_two_workers_with_two_replicas_each_that_keep_a_piece(tmp_path):
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    running = start(program(tmp_path / "cut", 2, "in pieces"))
    until_it_trains(running, tmp_path / "cut", [])
    running[1].send_signal(signal.SIGKILL)
    finish(running)
    for name in ("whole", "cut"):
        succeed(program(tmp_path / name, 2, "in pieces"))
    cut, whole = (results(tmp_path / name) for name in ("cut", "whole"))
    assert cut == whole
    assert whole[0]["weights"] == whole[1]["weights"]
    assert whole[0]["state"] != whole[1]["state"]  # each has its own shard


ONE_OF_TWO = """
import os, sys
import keras, numpy as np
from keras_gdx import callbacks, distribute
strategy = distribute.strategy()
keras.utils.set_random_seed(1)
with strategy.scope():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
distribute.prepare(model)
x = np.ones((64, 1))
more = eval(sys.argv[1], {"callbacks": callbacks, "index": int(sys.argv[2])})
history = model.fit(x, x, batch_size=2, epochs=10**6, verbose=0, callbacks=more)
print(int(model.optimizer.iterations.numpy()), file=sys.stderr)
"""


def test_the_first_to_run_out_of_time_stops_all(tmp_path):
    budget = "[callbacks.TimeBudget('2s' if index else '1h')]"
    ended = workers(lambda index: ["-c", ONE_OF_TWO, budget, str(index)])
    assert [code for _, code in ended] == [0, 0]
    first, second = (int(errors.split()[-1]) for errors, _ in ended)
    assert first == second > 0


def told(callbacks):
    """The errors of two workers that cannot train."""
    ended = workers(lambda index: ["-c", ONE_OF_TWO, callbacks, str(index)])
    assert [code for _, code in ended] == [1, 1]
    return [errors for errors, _ in ended]


def test_a_directory_of_ones_own_is_refused(tmp_path):
    kept = f"[callbacks.ResumableCheckpoint('{tmp_path}/' + str({{}})), callbacks.TimeBudget(1)]"
    succeed(lambda index: ["-c", ONE_OF_TWO, kept.format(0), str(index)])
    for errors in told(kept.format("index")):
        assert "no complete checkpoint in common" in errors


RESIZED = """
import os, signal, sys
import keras, numpy as np
from keras_gdx import distribute
from tests.resume import test_resizing as training
folder, result, optimizer, batches = sys.argv[1:]

class Stop(keras.callbacks.Callback):
    done = 0

    def on_train_batch_end(self, batch, logs=None):
        self.done += 1
        if self.done == int(batches):
            os.kill(os.getpid(), signal.SIGTERM)

strategy = distribute.strategy()
model, _ = training.train(optimizer, folder, strategy, callbacks=[Stop()])
np.savez(result, *model.get_weights())
"""


@pytest.mark.parametrize("optimizer", ["in pieces", "in stacks"])
def test_more_workers_and_fewer_go_on(optimizer, tmp_path):
    """Two workers, then three, then one, each interrupted in the middle of an epoch."""

    def run(count, folder, stop_after):
        words = [folder, f"{folder}.npz", optimizer, str(stop_after)]
        ended = workers(lambda index: ["-c", RESIZED, *words], count)
        assert [code for _, code in ended] == [EXIT_CODE if stop_after else 0] * count, ended
        return [errors for errors, _ in ended]

    resized, straight = str(tmp_path / "resized"), str(tmp_path / "straight")
    run(2, resized, 4)
    for errors in run(3, resized, 4):
        assert "was saved by 2 workers with 1 replicas each, and this run has 3 with 1" in errors
    (errors,) = run(1, resized, 0)
    assert "was saved by 3 workers with 1 replicas each, and this run has 1 with 1" in errors
    run(1, straight, 0)
    found, expected = (np.load(f"{name}.npz") for name in (resized, straight))
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5)


def test_callbacks_that_differ_are_refused():
    for errors in told("[callbacks.FaultGuard()] * index"):
        assert "differ in their callbacks" in errors
