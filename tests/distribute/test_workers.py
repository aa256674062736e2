"""Real processes that train together."""

import json

import keras
import numpy as np
import pytest

from keras_gdx import optimizers
from tests.distribute.jobs import OF_TWO, assert_same, run
from tests.distribute.processes import free_ports, succeed, workers

pytestmark = pytest.mark.xdist_group("processes")  # one cluster at a time
NAMES = [
    "compiled",
    "several steps at once",
    "clipped, of Keras",
    "a scalar loss",
    "masks",
    "loss scaling, and one infinity",  # D36
]


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
import tensorflow as tf
from keras_gdx import distribute, _version
given = {"SEED": "1", "MOMENTUM": "0.1", "WIDTH": "1", "EXAMPLES": "8", "DATA": ""} | os.environ
_version.__version__ = os.environ.get("VERSION", "1")
strategy = distribute.strategy()
eight = np.ones((8, 1))
unseeded = tf.data.Dataset.from_tensor_slices((eight, eight)).shuffle(8).batch(4)
if given["SEED"]:
    keras.utils.set_random_seed(int(given["SEED"]))
with strategy.scope():
    hidden = keras.layers.Dense(int(given["WIDTH"]))
    model = keras.Sequential([keras.Input((1,)), hidden, keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1, float(given["MOMENTUM"])), "mse")
distribute.prepare(model)
ones = np.ones((int(given["EXAMPLES"]), 1))
model.fit(*([unseeded] if given["DATA"] else [ones, ones]), verbose=0)
"""
DIFFERENT = {
    "no seed": ({"SEED": ""}, {"SEED": ""}, "All workers need the same seed"),
    "seeds": ({}, {"SEED": "2"}, "The workers differ in their seed"),
    "optimizers": ({}, {"MOMENTUM": "0.2"}, "The workers differ in their optimizer"),
    "models": ({}, {"WIDTH": "2"}, "The workers differ in their model"),
    "versions": ({}, {"VERSION": "2"}, "The workers differ in their version"),
    "data": ({}, {"EXAMPLES": "9"}, "The workers differ in their arguments of fit"),
    "shuffles": ({"DATA": "unseeded"}, {"DATA": "unseeded"}, "shuffles without a seed"),
}


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("case", DIFFERENT)
def test_workers_that_differ_are_told(case):
    *environments, message = DIFFERENT[case]
    ended = workers(lambda i: ["-c", UNEQUAL], 2, 120, lambda i: environments[i])
    for errors, code in ended:
        assert code == 1, errors
        assert message in errors


LONELY = """
from keras_gdx import distribute
distribute.strategy(timeout=3)
"""


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("index", [0, 1])
def test_workers_that_do_not_come_are_not_waited_for_for_ever(index):
    """Neither by the chief nor by another worker."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    task = {"type": "worker", "index": index}
    config = json.dumps({"cluster": {"worker": addresses}, "task": task})
    ((errors, code),) = workers(lambda i: ["-c", LONELY], 1, 60, lambda i: {"TF_CONFIG": config})
    assert code == 1
    assert f"came within 3 s; this is worker {index}" in errors


IN_PIECES = """
import sys
import keras
import numpy as np
from keras_gdx import distribute
strategy = distribute.strategy()
keras.utils.set_random_seed(1)
with strategy.scope():
    model = keras.saving.load_model(sys.argv[1])
distribute.prepare(model)
x = np.random.default_rng(0).normal(size=(64, 80)).astype("float32")
keeping = [keras.callbacks.ModelCheckpoint(sys.argv[2])]
model.fit(x, x, batch_size=16, shuffle=False, verbose=0, callbacks=keeping)
np.save(sys.argv[3], np.concatenate([w.ravel() for w in model.get_weights()]))
"""


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_model_is_read_into_pieces_and_saved_without_what_others_have(tmp_path):
    """One worker alone cannot write the complete state; it does not wait for the other."""
    keras.utils.set_random_seed(1)
    x = np.random.default_rng(0).normal(size=(64, 80)).astype("float32")
    model = keras.Sequential([keras.Input((80,)), *(keras.layers.Dense(80) for _ in range(3))])
    model.compile(optimizers.AdamW(0.01, state_dtype="int8", shard_state=True), "mse")
    model.fit(x, x, batch_size=16, verbose=0)
    begin, end = tmp_path / "begin.keras", tmp_path / "end.keras"
    model.save(begin)

    def program(index):
        return ["-c", IN_PIECES, str(begin), str(end), str(tmp_path / f"{index}.npy")]

    chief, _ = succeed(program)
    model.fit(x, x, batch_size=16, shuffle=False, verbose=0)
    expected = np.concatenate([w.ravel() for w in model.get_weights()])
    for index in range(2):
        found = np.load(tmp_path / f"{index}.npy")
        np.testing.assert_allclose(found, expected, atol=2e-3)  # the state has 8 bits
    assert "12 tensors of AdamW are sharded over several workers" in chief
    with pytest.warns(UserWarning, match="momentum \\(not saved\\)"):
        saved = keras.saving.load_model(end)
    found = np.concatenate([w.ravel() for w in saved.get_weights()])
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert int(saved.optimizer.iterations) == 8


IN_A_WINDOW = """
import sys
import keras
import numpy as np
from keras_gdx import distribute, optimizers
strategy = distribute.strategy()
keras.utils.set_random_seed(1)
with strategy.scope():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    model.compile(optimizers.AdamW(0.01, gradient_accumulation_steps=3), "mse")
distribute.prepare(model)
keeping = [keras.callbacks.ModelCheckpoint(sys.argv[1], save_freq=4)]
model.fit(np.ones((64, 4)), np.ones((64, 4)), batch_size=16, verbose=0, callbacks=keeping)
"""


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_window_that_is_open_on_several_workers_is_not_in_a_file(tmp_path):
    chief, _ = succeed(lambda index: ["-c", IN_A_WINDOW, str(tmp_path / "model.keras")])
    assert "2 tensors of AdamW are sharded over several workers" in chief
    saved = keras.saving.load_model(tmp_path / "model.keras")
    assert int(saved.optimizer.iterations) == 1  # the window of the fourth batch starts again
    assert int(saved.optimizer.state.count) == 0


FREE = """
import keras
from keras_gdx import distribute, optimizers
strategy = distribute.strategy()
with strategy.scope():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizers.ScheduleFreeSGD(shard_state=True), "mse")
    model.optimizer.build(model.trainable_variables)
"""


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_state_that_evaluation_needs_is_not_spread_over_workers():
    for errors, code in workers(lambda index: ["-c", FREE]):
        assert code == 1
        assert "`shard_state` must be False on several workers" in errors
