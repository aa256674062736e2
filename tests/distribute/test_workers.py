"""Real processes that train together."""

import json

import pytest

from tests.distribute.jobs import OF_TWO, assert_same, run
from tests.distribute.processes import free_ports, succeed, workers

pytestmark = pytest.mark.xdist_group("processes")  # one cluster at a time
NAMES = ["several steps at once", "clipped, of Keras", "a scalar loss", "masks"]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("replicas", [1, 2])
def test_two_workers_equal_one_device(replicas, mirrored, tmp_path):
    names = [*NAMES, *OF_TWO] if replicas == 1 else NAMES

    def program(index):
        result = str(tmp_path / str(index))
        return ["-m", "tests.distribute.jobs", ";".join(names), result, str(replicas)]

    succeed(program)
    found = [json.loads((tmp_path / str(index)).read_text()) for index in range(2)]
    for name in names:
        expected = run(name, mirrored if name in OF_TWO else None)
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
@pytest.mark.timeout(400)
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


LONELY = """
from keras_gdx import distribute
distribute.strategy(timeout=3)
"""


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("index", [0, 1])
def test_workers_that_do_not_come_are_not_waited_for_for_ever(index):
    """Neither by the one that leads, nor by one that is led."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    task = {"type": "worker", "index": index}
    config = json.dumps({"cluster": {"worker": addresses}, "task": task})
    ((errors, code),) = workers(lambda i: ["-c", LONELY], 1, 60, lambda i: {"TF_CONFIG": config})
    assert code == 1
    assert f"came within 3 s; this is worker {index}" in errors
