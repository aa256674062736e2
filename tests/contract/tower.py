"""A model written by hand with several weights of each shape, so that replicas can own tensors."""

import keras
import numpy as np
import tensorflow as tf

from tests.contract.harness import Run
from tests.contract.rules import core


class Tower(Run):
    """Three layers of one shape between two others, and weights that are not used."""

    @staticmethod
    def variables(dtype="float32"):
        rng = np.random.default_rng(1)
        shapes = {"first": (4, 8)}
        shapes |= {f"kernel_{i}": (8, 8) for i in range(3)} | {f"bias_{i}": (8,) for i in range(3)}
        shapes |= {"last": (8, 1), "unused": (8, 8), "unused_bias": (3,)}
        return [
            keras.Variable(0.5 * rng.normal(size=shape).astype("float32"), dtype=dtype, name=name)
            for name, shape in shapes.items()
        ]

    @staticmethod
    def loss(model, x, y):
        first, *rest, last, _, _ = (tf.cast(v, "float32") for v in model)
        x = x @ first
        for kernel, bias in zip(rest[:3], rest[3:], strict=True):
            x = tf.tanh(x @ kernel + bias)
        return tf.reduce_sum((x @ last - y) ** 2)

    def slots(self):
        """All slots of all variables."""
        optimizer = core(self.optimizer)
        return [
            keras.ops.convert_to_numpy(keras.ops.cast(slot.read(), "float32"))
            for slots in optimizer.state.slots
            for slot in slots.values()
        ]
