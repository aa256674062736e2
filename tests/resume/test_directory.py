"""Files that are damaged, foreign, too new, or not writable."""

import json
import os
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_gdx import optimizers
from keras_gdx.callbacks import ResumableCheckpoint
from keras_gdx.checkpoint import lock
from keras_gdx.checkpoint.directory import ARRAYS, MANIFEST, Directory, _checksum
from keras_gdx.checkpoint.lock import locked
from keras_gdx.checkpoint.serialization import pack, unpack
from keras_gdx.integration.coordination import SingleProcess
from tests.programs import Program

X = np.arange(16.0).reshape(16, 1) / 16


def fit(folder, units=1, optimizer=None, epochs=2, more=(), **options):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(units)])
    model.compile(optimizer or optimizers.Adam(0.1), "mse")
    kept = ResumableCheckpoint(folder, **options)
    history = model.fit(X, X, batch_size=4, epochs=epochs, verbose=0, callbacks=[kept, *more])
    return model, history


def written(folder):
    return [path for _, path in Directory(folder, 3).found()]


def test_keeps_the_newest(tmp_path):
    fit(tmp_path, every="1 step", keep=2)
    assert [p.name for p in written(tmp_path)] == ["checkpoint-000000008", "checkpoint-000000007"]
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in written(tmp_path)}


@pytest.mark.parametrize("file", [ARRAYS, MANIFEST])
@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_checkpoint_is_passed_over(file, damage, tmp_path):
    expected, _ = fit(tmp_path / "a", epochs=3)
    fit(tmp_path / "b", every="1 step", epochs=2)
    path = written(tmp_path / "b")[0] / file
    content = path.read_bytes()
    half = len(content) // 2
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[:half])
    else:
        path.write_bytes(content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :])
    with pytest.warns(UserWarning, match="is damaged .*; the previous one is used"):
        found, history = fit(tmp_path / "b", every="1 step", epochs=3)
    assert history.epoch == [0, 1, 2]
    for a, b in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_all_damaged_is_an_error(tmp_path):
    fit(tmp_path)
    for folder in written(tmp_path):
        (folder / MANIFEST).write_text("{")
    with (
        pytest.warns(UserWarning, match="is damaged"),
        pytest.raises(ValueError, match="are damaged"),
    ):
        fit(tmp_path)


def test_a_newer_format_is_refused(tmp_path):
    fit(tmp_path)
    path = written(tmp_path)[0] / MANIFEST
    manifest = json.loads(path.read_text())
    del manifest["checksum"]
    manifest["format"] = 99
    path.write_text(json.dumps(manifest | {"checksum": _checksum(manifest)}))
    with pytest.raises(ValueError, match="format 99; this version reads up to 1"):
        fit(tmp_path)


@pytest.mark.parametrize(
    "other", [{"units": 2}, {"optimizer": "sgd"}, {"optimizer": "lion"}], ids=str
)
def test_another_model_is_refused(other, tmp_path):
    fit(tmp_path)
    if "optimizer" in other:
        other = {
            "optimizer": {"sgd": optimizers.SGD, "lion": optimizers.Lion}[other["optimizer"]](0.1)
        }
    with pytest.raises(ValueError, match=r"another model or optimizer.*First differences"):
        fit(tmp_path, **other)


def test_a_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="directory of checkpoints cannot be written"):
        fit(tmp_path / "file")


FULL = """
import os, resource, sys, time
import numpy as np, keras
from keras_gdx.callbacks import ResumableCheckpoint
from keras_gdx.checkpoint import lock
model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(4096)])
model.compile("adam", "mse")
x, y = np.ones((64, 64)), np.ones((64, 4096))

class Full(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        while batch == 4 and not os.path.exists(os.path.join(sys.argv[1], "checkpoint-000000003")):
            time.sleep(0.01)
        if batch == 4:  # files may not grow beyond this any more
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

kept = ResumableCheckpoint(sys.argv[1], every="3 steps")
try:
    model.fit(x, y, batch_size=4, epochs=2, verbose=0, callbacks=[Full(), kept])
except OSError as error:
    finite = all(np.isfinite(w).all() for w in model.get_weights())
    print("failed", int(model.optimizer.iterations.numpy()) > 3, finite)
"""


def test_a_full_disk(tmp_path):
    """`fit` raises the error, and the previous checkpoint is intact."""
    done = Program("-c", FULL, tmp_path)
    assert done.wait() == 0, done.errors()[-2000:]
    assert "failed True True" in done.output()
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-000000003"]
    assert Directory(tmp_path, 3).read()["step"] == 3


def test_two_programs_on_one_directory(tmp_path):
    """The second is refused by name of the first, which goes on undisturbed."""

    class Second(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch:
                return
            (tmp_path / ".unfinished-x").mkdir()  # it belongs to the first
            expected = rf"saves its checkpoints there: process {os.getpid()} on .*heard of . s ago"
            with pytest.raises(BlockingIOError, match=expected):
                fit(tmp_path)
            assert (tmp_path / ".unfinished-x").exists()

    fit(tmp_path, epochs=1, more=[Second()])
    assert [p.name for p in written(tmp_path)] == ["checkpoint-000000004"]
    fit(tmp_path)  # it is free again
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in written(tmp_path)}


def test_the_lock_of_a_killed_program_is_taken_over_at_once(tmp_path):
    hold = (
        "import os, sys\n"
        "from keras_gdx.checkpoint.lock import locked\n"
        "from keras_gdx.integration.coordination import SingleProcess\n"
        "with locked(sys.argv[1], SingleProcess()):\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    Program("-c", hold, tmp_path).wait()
    assert (tmp_path / ".lock").exists()
    begin = time.monotonic()
    with locked(tmp_path, SingleProcess()):
        assert time.monotonic() - begin < 5


def test_the_lock_of_another_machine_is_taken_over_when_it_has_expired(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "LEASE", 0.5)
    elsewhere = Path(tmp_path / ".lock")
    with locked(tmp_path, SingleProcess()):
        own = elsewhere.read_text()
    elsewhere.write_text(re.sub("host=.*", "host=elsewhere", own))
    with locked(tmp_path, SingleProcess()) as check:
        check()
        elsewhere.unlink()  # as if another one had taken it over
        elsewhere.write_text(own)
        time.sleep(0.5)
        with pytest.raises(BlockingIOError, match="another one has taken over"):
            check()


def test_workers_share_one_lock(tmp_path):
    class Other(SingleProcess):
        index = 1

    class Late(Other):
        def same(self, number):
            return 0  # the first worker was refused

    with locked(tmp_path, SingleProcess()), locked(tmp_path, Other()):
        pass
    with pytest.raises(BlockingIOError), locked(tmp_path, Late()):
        pass


def test_parts_may_be_renamed_before_their_writers_go_on(tmp_path, monkeypatch):
    rename, whole = os.rename, tmp_path / "checkpoint-000000001"

    def slowly(source, target):
        rename(source, target)
        while Path(target).name == "worker-1" and not whole.exists():
            time.sleep(0.001)

    monkeypatch.setattr(os, "rename", slowly)
    workers = [Directory(tmp_path, 3, 2, index, "run") for index in range(2)]
    with ThreadPoolExecutor() as pool:
        written = [pool.submit(w.write, 1, {"worker": i}, {}) for i, w in enumerate(workers)]
        for each in written:
            each.result(60)
    assert [worker.read()["worker"] for worker in workers] == [0, 1]


def test_a_part_that_is_missing(tmp_path):
    """It does not count as a checkpoint of fewer processes."""
    workers = [Directory(tmp_path, 3, 2, index, "run") for index in range(2)]
    with ThreadPoolExecutor() as pool:
        [*pool.map(lambda worker: worker.write(1, {}, {}), workers)]
    assert [len(worker.read_all(1)) for worker in [*workers, Directory(tmp_path, 3)]] == [2, 2, 2]
    shutil.rmtree(tmp_path / "checkpoint-000000001" / "worker-1")
    for reader in (workers[0], Directory(tmp_path, 3)):
        with (
            pytest.warns(UserWarning, match="a part is missing"),
            pytest.raises(ValueError, match="are damaged"),
        ):
            reader.read()


def test_records_come_back():
    import ml_dtypes

    value = {
        "numbers": [1, 2.5, None, True, float("inf")],
        "by number": {3: (4, 5)},
        "array": np.arange(3, dtype="int64"),
        "short": np.array([1.5], ml_dtypes.bfloat16),
        "bytes": b"\x00\xff",
        "numpy": np.float32(0.1),
        "texts": np.array(["a", "bcd"]),
        "time": np.array(["2020-01-01"], "datetime64[D]"),
        "taken": {"__array__": "0", "__items__": 3},
    }
    arrays = {}
    found = unpack(json.loads(json.dumps(pack(value, arrays))), arrays)
    assert found["numbers"] == value["numbers"]
    assert found["by number"] == {3: [4, 5]}
    assert found["bytes"] == value["bytes"]
    assert found["numpy"] == float(np.float32(0.1))
    np.testing.assert_array_equal(found["array"], value["array"])
    assert found["short"].dtype == value["short"].dtype
    assert found["short"] == value["short"]
    assert found["texts"].tolist() == ["a", "bcd"]
    assert found["time"] == value["time"]
    assert found["taken"] == value["taken"]
    with pytest.raises(TypeError, match="cannot be saved"):
        pack(object(), {})
    with pytest.raises(TypeError, match=r"key \(1, 2\) of a dictionary cannot be saved"):
        pack({(1, 2): 3}, {})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"directory": ""}, "directory"),
        ({"every": "0 steps"}, "every"),
        ({"every": "often"}, "every"),
        ({"keep": 0}, "keep"),
        ({"on_signal": "SIGTERM"}, "on_signal"),
    ],
    ids=str,
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=f"Argument `{message}"):
        ResumableCheckpoint(**{"directory": "x"} | arguments)
