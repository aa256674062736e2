"""Views of storage that several variables share."""

import math

import numpy as np
from keras import ops


class Member:
    """The values of one variable in storage with an axis over several variables.

    Attributes:
        whole: The shared storage.
        shape: The shape of this variable's values.
        here: Whether this process has all of them.
    """

    def __init__(self, whole, position):
        self.whole = whole
        self.position = position
        self.shape = whole.shape[1:]
        self.here = whole.here

    def of(self, values):
        """This variable's entries of `values`; a view if that is a NumPy array."""
        return values[self.position]

    def read(self):
        """Returns this variable's values."""
        return self.of(self.whole.read())


class Slice:
    """The values of one variable in flat storage that holds several, one after the other.

    Attributes:
        whole: The shared storage.
        shape: The shape of this variable's values.
        here: Whether this process has all of them.
    """

    def __init__(self, whole, begin, shape):
        self.whole = whole
        self.begin = begin
        self.end = begin + math.prod(shape)
        self.shape = shape
        self.here = whole.here

    def of(self, values):
        """This variable's entries of `values`; a view if that is a NumPy array."""
        return values[self.begin : self.end].reshape(self.shape)

    def read(self):
        """Returns this variable's values."""
        return ops.reshape(self.whole.read()[self.begin : self.end], self.shape)


def read_all(storages, copies=None):
    """Yields the values of each storage or view as a NumPy array; shared storage is read once.

    Args:
        storages: Storages and views to read.
        copies: As in `Storage.read`.
    """
    known = {}
    for storage in storages:
        whole = getattr(storage, "whole", None)
        if whole is None:
            yield ops.convert_to_numpy(storage.read(copies))
            continue
        if whole not in known:
            known[whole] = ops.convert_to_numpy(whole.read(copies))
        yield storage.of(known[whole])


def write_all(pairs):
    """Replaces values; other entries of shared storage stay, and it is written once.

    Args:
        pairs: Pairs of a storage or view and its new values.
    """
    shared: dict = {}
    for storage, value in pairs:
        value, whole = np.asarray(value), getattr(storage, "whole", None)
        if whole is None:
            storage.write(ops.convert_to_tensor(value))
            continue
        if whole not in shared:
            shared[whole] = np.zeros(whole.shape, bool), np.zeros(whole.shape, value.dtype)
        chosen, values = shared[whole]
        storage.of(chosen)[...] = True
        storage.of(values)[...] = value
    for whole, (chosen, values) in shared.items():
        whole.write_some(chosen, ops.convert_to_tensor(values))
