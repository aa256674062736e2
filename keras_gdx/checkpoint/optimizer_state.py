"""Optimizer state in files, keyed by variable path and slot name, never by position.

The stored form is canonical: float slots per variable, not quantized or packed. So a file can be
loaded with another `state_dtype`, number of replicas or packing, and a changed model restores what
matches.
"""

import warnings
from collections import Counter
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_gdx.backends import backend
from keras_gdx.checkpoint.stored_state import (
    MANIFEST,
    Contents,
    around,
    manifest_of,
    named,
    title,
)
from keras_gdx.config import Configured
from keras_gdx.engine.state.state import DENSE, LOW_PRECISION, ROWS
from keras_gdx.engine.state.views import read_all, write_all
from keras_gdx.engine.variables.structure import without_numbers
from keras_gdx.integration.file_transaction import when_sure
from keras_gdx.integration.model_optimizers import wrapped


def save_state(optimizer, store):
    """Writes the state of `optimizer` into a dictionary of arrays."""
    variables: list[dict] = []
    numbers = {"iterations": optimizer.iterations}
    numbers.update(_rates(optimizer))
    if optimizer.state is not None:
        variables = [{"path": f.path, "shape": list(f.shape)} for f in optimizer.state.specs]
        numbers.update(optimizer.state.shared)
        kept = [slot for slots in optimizer.state.slots for slot in slots.values()]
        if optimizer.state.accumulators and optimizer.state.accumulators[0].here:
            numbers["summed"] = optimizer.state.count
            seen = optimizer.state.seen.numpy().tolist()
            for each, mark in zip(variables, seen, strict=True):
                each["seen"] = mark
        elif optimizer.state.accumulators and optimizer.state.count.numpy():  # in an open window
            kept += optimizer.state.accumulators
        spread = sum(not each.here for each in kept)
        if spread:
            warnings.warn(
                f"{spread} tensors of {type(optimizer).__name__} are sharded over several "
                "workers and are not saved in this file. Training that resumes from it "
                "initializes them again; `ResumableCheckpoint` saves all of them.",
                stacklevel=3,
            )
        storages = dict(_storages(optimizer.state))
        for key, value in zip(storages, read_all(storages.values()), strict=True):
            store[key] = _array(value)
        if optimizer.weight_swap.swapped:
            for index, value in enumerate(optimizer.weight_swap.trained):
                store[f"{index}|trained"] = _array(value)
    for name, value in numbers.items():
        store[name] = _array(value)
    store[MANIFEST] = manifest_of(type(optimizer).__name__, around(optimizer), variables)


def load_state(optimizer, store):
    """Restores the state that matches, and lists the rest in one warning.

    If the file has no state, or that of another optimizer, nothing changes and a warning says so.
    Inner optimizers are not restored then either.

    Returns:
        Whether there was something to restore.

    Raises:
        ValueError: If the state is damaged, or of a newer format. Nothing is changed then.
    """
    inner = _inside(optimizer)
    for each in inner:
        each.left_alone = True  # until the file is known to be for them
    if optimizer.left_alone:
        return False
    contents = Contents(title(optimizer), store)
    manifest = contents.manifest()
    if reason := _reason(optimizer, manifest, contents):
        fresh = not backend.number(optimizer.iterations)
        outcome = "starts from scratch" if fresh else "keeps its current state"
        warnings.warn(f"{reason}, so {title(optimizer)} {outcome}.", stacklevel=3)
        return False
    problems = _restore(optimizer, manifest["variables"], contents)
    parts = optimizer.all_rules()[1:]
    for each in inner:
        each.left_alone = any(each is part for part in parts)
    if problems:
        warnings.warn(
            f"Not all of the state of {title(optimizer)} was restored. These entries did not "
            f"match and were not loaded: {', '.join(problems)}.",
            stacklevel=3,
        )
    return True


def _inside(optimizer) -> list[Any]:
    """The optimizers of this package inside `optimizer`, for which Keras reads the file too."""
    parts = optimizer.all_rules()[1:]
    return [x for x in (*wrapped(optimizer).values(), *parts) if isinstance(x, Configured)]


def _reason(optimizer, manifest, contents):
    """Why there is nothing to restore; `None` if there is something."""
    if not contents.keys:
        return "The file has no optimizer state"
    if manifest is None:
        return "The file has the state of an optimizer that is not from keras_gdx"
    here = type(optimizer).__name__, around(optimizer)
    there = manifest["rule"], manifest.get("around", here[1])  # older files lack it
    whose = f"The file has the state of {named(*there)}"
    if there != here:
        return whose
    if optimizer.state is None and manifest["variables"]:
        return (
            f"{whose}, and this one is not built yet (to resume from that state, call "
            "`optimizer.build(model.trainable_variables)` first)"
        )
    if optimizer.state is not None and optimizer.state.specs and not manifest["variables"]:
        return f"{whose} before its first step"
    return None


def _rates(optimizer):
    """The variables of the learning rate, including those of parts."""
    found = dict(optimizer.rate_variables())
    for part, rule in optimizer.part_rules().items():
        for name, variable in _rates(rule).items():
            found[f"{part}.{name}"] = variable
    return found


def _storages(state):
    """Pairs of a key in the file and a storage, for those that this process has completely."""
    for index, slots in enumerate(state.slots):
        accumulator = {"sum": state.accumulators[index]} if state.accumulators else {}
        for name, storage in (slots | accumulator).items():
            if storage.here:
                yield f"{index}|{name}", storage


def _restore(optimizer, variables, contents):
    """Restores the state that matches; returns what does not."""
    numbers = _numbers(optimizer, contents)
    saved = contents.slots(len(variables))
    specs = optimizer.state.specs if optimizer.state is not None else []
    pairs = _pairs(variables, specs)
    found = _Found(optimizer)
    for old, variable in enumerate(variables):
        if old in pairs:
            found.add(pairs[old], saved.get(old, {}), _mark(variable, contents))
        else:
            found.problems.append(f"{variable['path']} (saved only)")
    known = {*pairs.values()}
    found.problems += [f"{f.path} (not saved)" for i, f in enumerate(specs) if i not in known]

    def write():
        for variable, value in numbers:
            variable.assign(ops.cast(value, variable.dtype))
        if specs:
            write_all(found.values)
            if optimizer.state.accumulators:
                optimizer.state.seen.assign(found.seen)
            optimizer.weight_swap.trained = None
            moved = range(len(optimizer.model_variables))
            if found.trained.keys() == {*moved}:
                optimizer.weight_swap.put([found.trained[i] for i in moved])

    when_sure(write)
    return found.problems


def _mark(variable, contents):
    """The `State.seen` entry of a variable in the file."""
    mark = variable.get("seen", 0)
    if mark not in (0, ROWS, DENSE):
        raise contents.damaged(f"{variable['path']} is marked with {mark!r}")
    return mark


def _numbers(optimizer, contents):
    """Pairs of a scalar variable of the optimizer and its value in the file."""
    known = {"iterations": optimizer.iterations, **_rates(optimizer)}
    if optimizer.state is not None:
        known.update(optimizer.state.shared)
        if optimizer.state.accumulators:
            known["summed"] = optimizer.state.count
    found = []
    for name, variable in known.items():
        if name in contents.keys:
            integer = keras.backend.is_int_dtype(variable.dtype)
            found.append((variable, contents.read(name, "iu" if integer else "f")))
            if integer and found[-1][1] < 0:
                raise contents.damaged(f"{name!r} is {found[-1][1]}")
    return found


class _Found:
    """The state in a file that fits an optimizer.

    Attributes:
        values: Pairs of a storage and its values.
        seen: `State.seen` for the open window.
        trained: Trained weights that were swapped out, by position.
        problems: Descriptions of what does not fit.
    """

    def __init__(self, optimizer):
        self.optimizer = optimizer
        self.values: list = []
        state = optimizer.state
        window = state is not None and state.accumulators
        self.seen: Any = state.seen.numpy().copy() if window else None
        self.trained: dict = {}
        self.problems: list = []

    def add(self, index, saved, mark):
        """Adds the saved state of the variable at position `index`."""
        state = self.optimizer.state
        path, shape, slots = state.specs[index].path, state.specs[index].shape, state.slots[index]
        moved = len(self.optimizer.model_variables)
        if index < moved:
            dtype = state.home[index][0].dtype
        else:
            dtype = self.optimizer.overwritten[index - moved].dtype
        for name, slot in slots.items():
            if name in saved and saved[name].shape == tuple(slot.shape):
                self.values.append((slot, saved[name].astype(dtype, copy=False)))
            else:
                self.problems.append(f"{path}: {name} (not saved)")
        for name, value in saved.items():
            fits = value.shape == tuple(shape)
            if name == "trained" and fits:
                self.trained[index] = ops.cast(value, self.optimizer.model_variables[index].dtype)
            elif name == "sum" and state.accumulators and fits:
                self.values.append((state.accumulators[index], value.astype(dtype, copy=False)))
                self.seen[index] = mark
            elif name not in slots and (name != "sum" or np.any(value)):
                self.problems.append(f"{path}: {name} (saved only)")


def _pairs(saved, specs):
    """Maps positions in the file to positions in the optimizer.

    Keras numbers unnamed layers process-wide, so the same model may have other paths the second
    time. If both sides match except for those numbers, positions are kept; otherwise only equal
    paths match.
    """
    before = [(v["path"], tuple(v["shape"])) for v in saved]
    now = [(f.path, f.shape) for f in specs]
    if sorted(before) != sorted(now) and _stems(before) == _stems(now):
        return {i: i for i in range(len(now))}
    positions = {key: i for i, key in enumerate(_numbered(now))}
    return {i: positions[key] for i, key in enumerate(_numbered(before)) if key in positions}


def _stems(variables):
    return [(without_numbers(path), shape) for path, shape in variables]


def _numbered(variables):
    """Distinguishes variables with the same path and shape by their order."""
    seen: Counter = Counter()
    for variable in variables:
        seen[variable] += 1
        yield *variable, seen[variable]


def _array(value):
    if keras.backend.standardize_dtype(value.dtype) in LOW_PRECISION:  # NumPy cannot store it
        value = ops.cast(value, "float32")
    return ops.convert_to_numpy(value)
