"""Lets a `tf.Variable` be used as a Keras variable."""

import keras
import tensorflow as tf


class Bare(keras.Variable):
    """A Keras variable that wraps a `tf.Variable`, with its value and name."""

    def __init__(self, native):
        self.native = native
        name = native.name.partition(":")[0].replace("/", "_")
        super().__init__(lambda *_, **__: native, native.shape, native.dtype.name, name=name)
        self._path = native.name

    def _initialize_with_initializer(self, initializer):
        self._value = self.native


def as_keras(variable):
    """Wraps a `tf.Variable` as a Keras variable; returns any other variable unchanged."""
    return Bare(variable) if isinstance(variable, tf.Variable) else variable
