"""Damaged or forged checkpoints are refused with the reason, or loaded; nothing else happens.

Whoever forges a checkpoint can compute its checksums as well.
"""

import copy
import io
import json
import os
import warnings
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gdx import optimizers
from keras_gdx.callbacks import PlateauController, ResumableCheckpoint
from keras_gdx.checkpoint import snapshot
from keras_gdx.checkpoint.directory import ARRAYS, MANIFEST, Directory, _checksum, _digest
from keras_gdx.integration.data_position import STATE
from tests.forging import forged, forged_arrays

X = np.arange(24.0, dtype="float32").reshape(12, 2) / 24


class Stop(Exception):  # noqa: N818 - nothing is wrong
    pass


class Stopping(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            raise Stop


class Resuming(ResumableCheckpoint):
    """Stops once everything is restored."""

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        raise Stop


def network():
    keras.utils.set_random_seed(1)
    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2), keras.layers.Dropout(0.5)])
    optimizer = optimizers.ScheduleFreeAdamW(0.1, gradient_accumulation_steps=2)
    net.compile(optimizer, "mse", metrics=["mae"])
    return net


def fit(net, callback, folder):
    data = tf.data.Dataset.from_tensor_slices((X, X)).shuffle(12, seed=3).batch(2)
    early = keras.callbacks.EarlyStopping("loss", patience=5)
    others = [early, PlateauController("loss"), Stopping()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.fit(data, verbose=0, callbacks=[*others, callback(folder, every="1 step")])


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Manifest and arrays of a checkpoint in the middle of an epoch."""
    folder = tmp_path_factory.mktemp("original")
    with pytest.raises(Stop):
        fit(network(), ResumableCheckpoint, folder)
    [(_, path)] = Directory(folder, 3).found()
    with np.load(path / ARRAYS) as arrays:
        return json.loads((path / MANIFEST).read_text()), dict(arrays)


def write(folder, manifest, arrays):
    """Writes a checkpoint with valid checksums, if its content can have any."""
    path = folder / "checkpoint-000000001"
    path.mkdir(parents=True, exist_ok=True)
    (path / ARRAYS).write_bytes(arrays)
    if isinstance(manifest, dict):
        manifest = {k: v for k, v in manifest.items() if k != "checksum"}
        if isinstance(manifest.get("arrays"), str):
            manifest["arrays"] = _digest(path / ARRAYS)
        manifest["checksum"] = _checksum(manifest)
    (path / MANIFEST).write_text(json.dumps(manifest))
    return path


def as_file(arrays):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:  # `numpy.savez` changes names that are paths
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array)
            archive.writestr(f"{name}.npy".encode("utf-8", "replace").decode(), content.getvalue())
    return file.getvalue()


def torn(content, rng):
    raw = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        raw[rng.integers(len(raw))] = rng.integers(256)
    return bytes(raw[: rng.integers(len(raw))] if rng.integers(4) == 0 else raw)


def values(net):
    return [np.array(v) for v in snapshot.variables_of(net)]


def refusal(net, folder):
    """Why the checkpoint is refused; `None` if it is not."""
    try:
        fit(net, Resuming, folder)
    except Stop:
        return None
    except ValueError as error:
        return str(error)


def test_any_change_is_refused_or_loaded(original, tmp_path, monkeypatch):
    manifest, arrays = original
    rng = np.random.default_rng(0)
    whole, folder, refused = as_file(arrays), tmp_path / "runs" / "a", 0
    monkeypatch.chdir(tmp_path)
    net = network()
    net.optimizer.build(net.trainable_variables)
    start, before = snapshot.take(net), values(net)
    skip = [("content", "callbacks", i, "memory") for i in range(9)]  # checked by the callbacks
    skip.append(("content", "model", "random", "python", 1))  # hundreds of numbers
    for _ in range(200):
        kind = rng.choice(["manifest", "manifest", "arrays", "bytes"])
        bad = forged(manifest, rng, skip=skip) if kind == "manifest" else manifest
        content = as_file(forged_arrays(arrays, rng)) if kind == "arrays" else whole
        write(folder, bad, torn(content, rng) if kind == "bytes" else content)
        reason = refusal(net, folder)
        if reason is not None:
            refused += 1
            assert str(folder) in reason
            assert all(map(np.array_equal, values(net), before))
        snapshot.put(net, start)
    assert 80 < refused < 195
    assert [str(p) for p in tmp_path.iterdir()] == [str(tmp_path / "runs")]
    assert [p.name for p in folder.iterdir()] == ["checkpoint-000000001"]


def test_no_name_in_a_checkpoint_is_that_of_a_file(original, tmp_path):
    """The state of a `tf.data` iterator is written to files for TensorFlow."""
    manifest, arrays = copy.deepcopy(original)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    state = manifest["content"]["position"]["state"]
    assert {*state} == {*STATE}
    state[str(victim)] = {"__array__": "999", "dtype": "bytes"}
    arrays["999"] = np.frombuffer(b"theirs", "uint8")
    write(tmp_path / "a", manifest, as_file(arrays))
    assert refusal(network(), tmp_path / "a") is None  # it has everything it needs
    assert victim.read_text() == "mine"
    state[f"../{victim}"] = state.pop(STATE[0])
    write(tmp_path / "a", manifest, as_file(arrays))
    assert "position in the data" in refusal(network(), tmp_path / "a")
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("name", [ARRAYS, MANIFEST, ""], ids=["arrays", "manifest", "folder"])
def test_links_are_not_followed(name, original, tmp_path):
    manifest, arrays = original
    real = write(tmp_path / "b", manifest, as_file(arrays)) / name
    path = write(tmp_path / "a", manifest, as_file(arrays)) / name
    elsewhere = tmp_path / "elsewhere"
    os.rename(path, elsewhere)
    path.symlink_to(elsewhere)
    reason = refusal(network(), tmp_path / "a")
    assert reason is None if not name else "are damaged" in reason
    assert elsewhere.exists()
    assert real.exists()


def test_arrays_are_no_longer_than_their_file(original, tmp_path):
    manifest, _ = original
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, **{"0": np.zeros(10_000_000)})
    assert path.stat().st_size < 100_000
    write(tmp_path / "a", manifest, path.read_bytes())
    assert "longer than the file" in refusal(network(), tmp_path / "a")


def test_objects_of_python_are_not_loaded(original, tmp_path):
    manifest, arrays = original
    write(tmp_path / "a", manifest, as_file(arrays | {"0": np.array([{}], object)}))
    assert "allow_pickle" in refusal(network(), tmp_path / "a")


def test_random_states_that_lead_out_of_memory(original, tmp_path):
    """NumPy accepts any position within its 624 numbers."""
    manifest, arrays = copy.deepcopy(original)
    manifest["content"]["model"]["random"]["numpy"]["state"]["pos"] = 10**6
    write(tmp_path / "a", manifest, as_file(arrays))
    assert "content.model.random must be" in refusal(network(), tmp_path / "a")


def test_an_epoch_with_other_metrics(original, tmp_path):
    manifest, arrays = original
    write(tmp_path / "a", manifest, as_file(arrays))
    net = network()
    net.compile(net.optimizer, "mse", metrics=["mae", "mse"])
    before = net.get_weights()
    assert "Compile with the same metrics" in refusal(net, tmp_path / "a")
    assert all(map(np.array_equal, net.get_weights(), before))
