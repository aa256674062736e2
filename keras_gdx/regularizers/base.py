"""Base class of regularizers whose only argument is a strength."""

import keras

from keras_gdx.arguments import NonNegativeFloat, Tensor
from keras_gdx.config import Configured

__all__: list[str] = []


class Penalty(Configured, keras.regularizers.Regularizer):
    """A regularizer with a strength; a subclass defines its `__call__`."""

    def __init__(self, factor: NonNegativeFloat = 0.01):
        self.factor = factor

    def __call__(self, w: Tensor) -> Tensor:
        raise NotImplementedError
