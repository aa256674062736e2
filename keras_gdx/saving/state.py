"""Optimizer state in files: by variable path and slot name, never by position.

The stored form is canonical: float slots as they are read, not codes or packed
buffers. So a file loads with another `state_dtype`, number of replicas or layout, and
a changed model restores what matches.
"""

import json
import re
import warnings
from collections import Counter

import keras
import numpy as np
from keras import ops

from keras_gdx.engine.parts import read_all, write_all
from keras_gdx.engine.state import LOW_PRECISION

FORMAT = 1
MANIFEST = "manifest"


def save_state(optimizer, store):
    """Writes the state of `optimizer` into a dictionary of arrays."""
    listed: list[dict] = []
    manifest = {"format": FORMAT, "rule": type(optimizer).__name__, "variables": listed}
    numbers = {"iterations": optimizer.iterations}
    numbers.update(_rates(optimizer))
    if optimizer.state is not None:
        listed += [{"path": f.path, "shape": list(f.shape)} for f in optimizer.state.facts]
        numbers.update(optimizer.state.shared)
        kept = [slot for slots in optimizer.state.slots for slot in slots.values()]
        if optimizer.state.sums and optimizer.state.sums[0].here:
            numbers["summed"] = optimizer.state.count
            seen = optimizer.state.seen.numpy().tolist()
            for each, mark in zip(listed, seen, strict=True):
                each["seen"] = mark
        elif optimizer.state.sums and optimizer.state.count.numpy():  # in the middle of a window
            kept += optimizer.state.sums
        spread = sum(not each.here for each in kept)
        if spread:
            warnings.warn(
                f"{spread} tensors of {type(optimizer).__name__} are spread over several workers "
                "and are not in this file. Training that goes on from it begins with fresh ones; "
                "that of `ResumableCheckpoint` goes on with all.",
                stacklevel=3,
            )
        storages = dict(_storages(optimizer.state))
        for key, value in zip(storages, read_all(storages.values()), strict=True):
            store[key] = _array(value)
        if optimizer.parking.occupied:
            for index, value in enumerate(optimizer.parking.trained):
                store[f"{index}|trained"] = _array(value)
    for name, value in numbers.items():
        store[name] = _array(value)
    store[MANIFEST] = np.frombuffer(json.dumps(manifest).encode(), "uint8")


def load_state(optimizer, store):
    """Restores what matches, and names the rest in one warning.

    Raises:
        ValueError: If the state is that of another rule, or of a newer format. Nothing is
            changed then.
    """
    manifest = _manifest(optimizer, store)
    if optimizer.state is None and manifest["variables"]:
        warnings.warn(
            f"The state of {type(optimizer).__name__} was not restored: the optimizer has no "
            "variables to train yet. If the model has any, call "
            "`optimizer.build(model.trainable_variables)` first.",
            stacklevel=3,
        )
        return
    _restore_numbers(optimizer, store)
    if optimizer.state is None or not manifest["variables"]:  # one of them is new
        return
    saved = _saved_slots(store)
    pairs = _pairs(manifest["variables"], optimizer.state.facts)
    problems = [
        f"{v['path']} (saved only)" for i, v in enumerate(manifest["variables"]) if i not in pairs
    ]
    values: list = []
    parked: list = []
    for old, new in pairs.items():
        problems += _matching(optimizer, new, saved.get(old, {}), values, parked)
    write_all(values)
    if optimizer.state.sums:
        seen = optimizer.state.seen.numpy().copy()
        for old, new in pairs.items():
            seen[new] = manifest["variables"][old].get("seen", seen[new])
        optimizer.state.seen.assign(seen)
    facts, written = optimizer.state.facts, set(pairs.values())
    problems += [f"{f.path} (not saved)" for i, f in enumerate(facts) if i not in written]
    optimizer.parking.trained = None
    if len(parked) == len(optimizer.model_variables):
        optimizer.parking.put(parked)
    if problems:
        warnings.warn(
            f"Not all of the state of {type(optimizer).__name__} was restored. What did not "
            f"match, and starts afresh or was left out: {', '.join(problems)}.",
            stacklevel=3,
        )


def _manifest(optimizer, store):
    if MANIFEST not in store.keys():  # noqa: SIM118 - Keras' stores are not mappings
        raise ValueError("This is not the state of a keras_gdx optimizer: it has no manifest.")
    manifest = json.loads(bytes(np.asarray(store[MANIFEST], "uint8")))
    if manifest["format"] > FORMAT:
        raise ValueError(
            f"The state has format {manifest['format']}; this version reads up to {FORMAT}. "
            "Install a newer keras_gdx."
        )
    if manifest["rule"] != type(optimizer).__name__:
        raise ValueError(
            f"The state was saved by {manifest['rule']} and cannot be given to "
            f"{type(optimizer).__name__}. To load the weights alone, pass `skip_mismatch=True`."
        )
    return manifest


def _rates(optimizer):
    """The variables of the learning rate, the parts' too."""
    found = dict(optimizer.rate_variables())
    for part in optimizer.parts:
        for name, variable in _rates(getattr(optimizer, part)).items():
            found[f"{part}.{name}"] = variable
    return found


def _storages(state):
    """What this process has all of, by the keys that it has in a store."""
    for index, slots in enumerate(state.slots):
        sums = {"sum": state.sums[index]} if state.sums else {}
        for name, storage in (slots | sums).items():
            if storage.here:
                yield f"{index}|{name}", storage


def _restore_numbers(optimizer, store):
    known = {"iterations": optimizer.iterations, **_rates(optimizer)}
    if optimizer.state is not None:
        known.update(optimizer.state.shared)
        if optimizer.state.sums:
            known["summed"] = optimizer.state.count
    for name, variable in known.items():
        if name in store.keys():  # noqa: SIM118
            variable.assign(ops.cast(np.asarray(store[name]), variable.dtype))


def _saved_slots(store):
    found: dict[int, dict] = {}
    for key in store.keys():  # noqa: SIM118
        index, bar, name = key.partition("|")
        if bar:
            found.setdefault(int(index), {})[name] = store[key]
    return found


def _matching(optimizer, index, saved, values, parked):
    """Adds what fits one variable to `values` and `parked`; returns what did not match."""
    state, problems = optimizer.state, []
    path = state.facts[index].path
    slots = state.slots[index]
    for name, slot in slots.items():
        if name in saved and tuple(saved[name].shape) == tuple(slot.shape):
            values.append((slot, saved[name]))
        else:
            problems.append(f"{path}: {name} (not saved)")
    for name, value in saved.items():
        if name == "trained":
            parked.append(ops.cast(np.asarray(value), optimizer.model_variables[index].dtype))
        elif name == "sum" and state.sums:
            values.append((state.sums[index], value))
        elif name == "sum" and not np.any(value):
            pass
        elif name not in slots:
            problems.append(f"{path}: {name} (saved only)")
    return problems


def _pairs(saved, facts):
    """Maps positions in the file to positions in the optimizer.

    Keras numbers layers without a name of their own through the whole process, so the
    same model may have other paths the second time. If the two sides agree in all but
    those numbers, they are the same model; otherwise only equal paths count.
    """
    before = [(v["path"], tuple(v["shape"])) for v in saved]
    now = [(f.path, f.shape) for f in facts]
    if sorted(before) != sorted(now) and _stems(before) == _stems(now):
        return {i: i for i in range(len(now))}
    positions = {key: i for i, key in enumerate(_numbered(now))}
    return {i: positions[key] for i, key in enumerate(_numbered(before)) if key in positions}


def _stems(variables):
    return [(re.sub(r"_\d+(?=/|$)", "", path), shape) for path, shape in variables]


def _numbered(variables):
    """Tells variables with the same path and shape apart by their order."""
    seen: Counter = Counter()
    for variable in variables:
        seen[variable] += 1
        yield *variable, seen[variable]


def _array(value):
    if keras.backend.standardize_dtype(value.dtype) in LOW_PRECISION:  # not known to NumPy's files
        value = ops.cast(value, "float32")
    return ops.convert_to_numpy(value)
