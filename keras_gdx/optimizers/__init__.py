"""Update rules: each is a `keras.optimizers.Optimizer`."""

from keras_gdx.optimizers.base import Optimizer
from keras_gdx.registry import export

__all__ = ["Optimizer", *export(__name__)]
