"""Data for `fit`, in batches that cost little.

For arrays, Keras builds a pipeline of four functions, and instantiates it twice an epoch: 16 ms,
and as much for validation. In these tests that would be more than the training.
"""

import keras
import numpy as np
import tensorflow as tf


def in_batches(size, *arrays):
    """A dataset of batches in the order of the arrays: of inputs, targets and sample weights."""

    def cast(array):  # as Keras casts arrays
        array = np.asarray(array)
        return array.astype(keras.config.floatx()) if array.dtype == np.float64 else array

    arrays = keras.tree.lists_to_tuples(keras.tree.map_structure(cast, arrays))
    return tf.data.Dataset.from_tensor_slices(arrays).batch(size)
