"""Gradients of a model's outputs with respect to its inputs."""

from typing import Any

import numpy as np
import tensorflow as tf


def input_gradients(model: Any, x: Any, pick: Any) -> Any:
    """The gradient of the sum of `pick(outputs)` with respect to `x`, as an array."""
    x = tf.convert_to_tensor(x)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        total = tf.reduce_sum(pick(model(x, training=False)))
    gradient = tape.gradient(total, x)
    return np.zeros(x.shape, x.dtype.as_numpy_dtype) if gradient is None else gradient.numpy()
