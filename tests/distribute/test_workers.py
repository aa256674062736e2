"""Real processes that train together."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.distribute.jobs import assert_same, run

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["several steps at once", "clipped, of Keras", "a scalar loss", "masks"]


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def workers(program, count=2, seconds=240, environment=lambda index: {}):
    """Runs `program` on so many workers; returns exit code and errors of each."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    running = []
    for index in range(count):
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": {"worker": addresses}, "task": task})
        variables = {"TF_CONFIG": config, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
        running.append(
            subprocess.Popen(
                [sys.executable, *program(index)],
                cwd=ROOT,
                env=os.environ | variables | environment(index),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        return [(p.communicate(timeout=seconds)[1], p.returncode) for p in running]
    finally:
        for process in running:
            process.kill()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("replicas", [1, 2])
def test_two_workers_equal_one_device(replicas, tmp_path):
    def program(index):
        result = str(tmp_path / str(index))
        return ["-m", "tests.distribute.jobs", ";".join(NAMES), result, str(replicas)]

    for errors, code in workers(program):
        assert code == 0, errors[-3000:]
    found = [json.loads((tmp_path / str(index)).read_text()) for index in range(2)]
    for name in NAMES:
        expected = run(name)
        for each in found:
            assert_same(each[name], expected)


UNEQUAL = """
import os
import keras
import numpy as np
from keras_gdx import distribute
strategy = distribute.strategy()
if "SEED" in os.environ:
    keras.utils.set_random_seed(int(os.environ["SEED"]))
with strategy.scope():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1, float(os.environ["MOMENTUM"])), "mse")
distribute.prepare(model).fit(np.ones((8, 1)), np.ones((8, 1)), verbose=0)
"""


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (lambda i: {"MOMENTUM": "0.1"}, "Several workers need one seed"),
        (lambda i: {"MOMENTUM": "0.1", "SEED": str(i)}, "The workers differ in their seed"),
        (
            lambda i: {"MOMENTUM": f"0.{i + 1}", "SEED": "1"},
            "The workers differ in their optimizer",
        ),
    ],
    ids=["no seed", "seeds", "optimizers"],
)
def test_workers_that_differ_are_told(environment, message):
    for errors, code in workers(lambda i: ["-c", UNEQUAL], 2, 120, environment):
        assert code == 1
        assert message in errors
