"""Variables of TensorFlow's own among those of Keras."""

import keras
import tensorflow as tf


class Bare(keras.Variable):
    """A `tf.Variable` as one of Keras: the same values, by the same name."""

    def __init__(self, native):
        self.native = native
        name = native.name.partition(":")[0].replace("/", "_")
        super().__init__(lambda *_, **__: native, native.shape, native.dtype.name, name=name)
        self._path = native.name

    def _initialize_with_initializer(self, initializer):
        self._value = self.native


def as_keras(variable):
    """A bare variable as one of Keras; others as they are."""
    return Bare(variable) if isinstance(variable, tf.Variable) else variable
