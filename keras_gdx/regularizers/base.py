"""Base class of regularizers whose only argument is a strength."""

import keras

from keras_gdx.config import Configured, check_number

__all__ = []


class Penalty(Configured, keras.regularizers.Regularizer):
    """A regularizer with a strength; a subclass defines its `__call__`."""

    def __init__(self, factor=0.01):
        check_number("factor", factor, 0)
        self.factor = factor
