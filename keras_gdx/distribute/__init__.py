"""Training on many devices and machines, with `tf.distribute`."""

from keras_gdx.distribute.check import Remark, check
from keras_gdx.distribute.prepare import prepare
from keras_gdx.distribute.strategies import strategy

__all__ = ["Remark", "check", "prepare", "strategy"]
