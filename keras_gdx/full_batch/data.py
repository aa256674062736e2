"""A data set in batches that are the same each time."""

from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_gdx.arguments import check

UNPACK = keras.utils.unpack_x_y_sample_weight


class Batch(NamedTuple):
    """What one replica evaluates at a time.

    Attributes:
        data: The tensors `(x, y, sample_weight)`.
        share: Its fraction of all examples.
        index: Its number, from 0.
    """

    data: Any
    share: Any
    index: Any


class Data:
    """The data, which every evaluation of the loss reads from beginning to end.

    Iterating yields lists with a `Batch` for each replica.

    Args:
        x: Arrays in any structure, or a `tf.data.Dataset` or `keras.utils.PyDataset` of batches.
        y: Arrays in any structure, or `None`.
        sample_weight: Arrays in any structure, or `None`.
        batch_size: Integer >= 1, the examples of all replicas; `None`: all rows at once.
        dtype: Dtype of floating-point data.
        replicas: Number of replicas.

    Attributes:
        first: The first batch of the data.
        single: Whether there is only one batch.
    """

    def __init__(self, x, y, sample_weight, batch_size, dtype, replicas):
        self._dtype = dtype
        self._replicas = replicas
        if isinstance(x, (tf.data.Dataset, keras.utils.PyDataset)):
            for name, value in (("y", y), ("sample_weight", sample_weight)):
                check(value is None, name, value, "None, as `x` has batches of all data")
            check(batch_size is None, "batch_size", batch_size, "None, as `x` has batches")
            self._batches = _batches_of(x)
            sizes = [_rows(UNPACK(batch)[0]) for batch in self._batches()]
            check(sum(sizes) > 0, "x", x, "data with at least one row")
            self._rows, count = sum(sizes), len(sizes)
        else:
            arrays = keras.tree.map_structure(_as_array, (x, y, sample_weight))
            self._rows = _common_length(arrays)
            size = min(batch_size or self._rows, self._rows)
            self._batches = partial(_slices, arrays, range(0, self._rows, size), size)
            count = -(-self._rows // size)
        self.single = count == replicas == 1
        self.first = self._converted(UNPACK(next(iter(self._batches()))))
        self._whole = self._parts(0, self.first) if count == 1 else None

    def __iter__(self):
        if self._whole is not None:
            yield self._whole
            return
        for i, batch in enumerate(self._batches()):
            yield self._parts(i * self._replicas, self._converted(UNPACK(batch)))

    def _parts(self, index, data):
        """A `Batch` for each replica; if there are too few examples, some have one of share 0."""
        rows = _rows(data[0])
        size = -(-rows // self._replicas)
        parts = []
        for i in range(self._replicas):
            part = slice(i * size, (i + 1) * size)
            share = len(range(rows)[part]) / self._rows
            cut = _cut(data, part if share else slice(1)) if size < rows else data
            parts.append(Batch(cut, tf.constant(share, "float64"), tf.constant(index + i)))
        return parts

    def _converted(self, data):
        def convert(array):
            if array is None:
                return None
            tensor = tf.convert_to_tensor(array)
            return tf.cast(tensor, self._dtype) if tensor.dtype.is_floating else tensor

        return keras.tree.map_structure(convert, data)


def size_of(batch):
    """The number of examples in a `Batch`."""
    return _rows(batch.data[0])


def _rows(x):
    return int(next(part for part in keras.tree.flatten(x) if part is not None).shape[0])


def _cut(arrays, part):
    return keras.tree.map_structure(lambda a: None if a is None else a[part], arrays)


def _slices(arrays, begins, size):
    for begin in begins:
        yield _cut(arrays, slice(begin, begin + size))


def _items(x):
    for i in range(x.num_batches):
        yield x[i]


def _batches_of(x):
    """A function that begins to read a data set from its beginning."""
    if isinstance(x, keras.utils.PyDataset):
        finite, batches = x.num_batches is not None, partial(_items, x)
    else:
        finite, batches = x.cardinality() != tf.data.INFINITE_CARDINALITY, x.__iter__
    check(finite, "x", x, "finite, as every evaluation reads all of it")
    return batches


def _as_array(array):
    if array is None or isinstance(array, tf.Tensor):
        return array
    if not hasattr(array, "__array__") or hasattr(array, "iloc"):  # a list, or of pandas
        array = np.asarray(array)
    check(np.ndim(array) > 0, "x, y and sample_weight", array, "arrays with a row per example")
    return array


def _common_length(arrays):
    lengths = {len(a) for a in keras.tree.flatten(arrays) if a is not None}
    check(
        keras.tree.flatten(arrays[0]) and len(lengths) == 1 and min(lengths) > 0,
        "x",
        sorted(lengths),
        "arrays with as many rows, at least one, as `y` and `sample_weight`; "
        "these are their numbers of rows",
    )
    return lengths.pop()
