"""Update rules: each is a `keras.optimizers.Optimizer`."""

from keras_gdx.optimizers.base import Optimizer
from keras_gdx.registry import publish

__all__ = ["Optimizer", *publish(__name__)]
