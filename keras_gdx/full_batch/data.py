"""A data set in batches that are the same each time."""

from functools import partial

import keras
import numpy as np
import tensorflow as tf

from keras_gdx.arguments import check

UNPACK = keras.utils.unpack_x_y_sample_weight


class Data:
    """The data, which every evaluation of the loss reads from beginning to end.

    Iterating yields `(x, y, sample_weight)`.

    Args:
        x: Arrays in any structure, or a `tf.data.Dataset` or `keras.utils.PyDataset` of batches.
        y: Arrays in any structure, or `None`.
        sample_weight: Arrays in any structure, or `None`.
        batch_size: Integer >= 1, or `None`: all rows at once.
        dtype: Dtype of floating-point data.
    """

    def __init__(self, x, y, sample_weight, batch_size, dtype):
        self._dtype = dtype
        if isinstance(x, (tf.data.Dataset, keras.utils.PyDataset)):
            for name, value in (("y", y), ("sample_weight", sample_weight)):
                check(value is None, name, value, "None, as `x` has batches of all data")
            check(batch_size is None, "batch_size", batch_size, "None, as `x` has batches")
            infinite = (
                isinstance(x, tf.data.Dataset) and x.cardinality() == tf.data.INFINITE_CARDINALITY
            )
            check(not infinite, "x", x, "finite, as every evaluation reads all of it")
            self._batches = lambda: self._of_batches(x)
            sizes = [rows(batch[0]) for batch in self]
            self.rows, self.count = sum(sizes), len(sizes)
            check(self.rows > 0, "x", x, "data with at least one row")
            return
        arrays = keras.tree.map_structure(self._as_array, (x, y, sample_weight))
        lengths = {len(a) for a in keras.tree.flatten(arrays) if a is not None}
        check(
            keras.tree.flatten(arrays[0]) and len(lengths) == 1 and min(lengths) > 0,
            "x",
            sorted(lengths),
            "arrays with as many rows, at least one, as `y` and `sample_weight`; "
            "these are their numbers of rows",
        )
        (self.rows,) = lengths
        size = min(batch_size or self.rows, self.rows)
        self.count = -(-self.rows // size)
        if self.count == 1:
            whole = self._converted(arrays)
            self._batches = lambda: [whole]
        else:
            self._batches = lambda: self._slices(arrays, size)

    def __iter__(self):
        return iter(self._batches())

    def _slices(self, arrays, size):
        for begin in range(0, self.rows, size):
            part = slice(begin, begin + size)
            cut = partial(_rows_of, part=part)
            yield self._converted(keras.tree.map_structure(cut, arrays))

    def _of_batches(self, batches):
        indices = range(batches.num_batches) if isinstance(batches, keras.utils.PyDataset) else None
        for batch in batches if indices is None else (batches[i] for i in indices):
            yield self._converted(UNPACK(batch))

    @staticmethod
    def _as_array(array):
        if array is None or isinstance(array, tf.Tensor):
            return array
        array = (
            np.asarray(array)
            if not hasattr(array, "__array__") or hasattr(array, "iloc")
            else array
        )
        check(np.ndim(array) > 0, "x, y and sample_weight", array, "arrays with a row per example")
        return array

    def _converted(self, batch):
        def convert(array):
            if array is None:
                return None
            tensor = tf.convert_to_tensor(array)
            return tf.cast(tensor, self._dtype) if tensor.dtype.is_floating else tensor

        return keras.tree.map_structure(convert, batch)


def _rows_of(array, part):
    return None if array is None else array[part]


def rows(x):
    """The number of examples in inputs."""
    return int(next(part for part in keras.tree.flatten(x) if part is not None).shape[0])
