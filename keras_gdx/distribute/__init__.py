"""Distributed training on several devices and machines with `tf.distribute`."""

from keras_gdx.arguments import needs_tensorflow

needs_tensorflow("keras_gdx.distribute")

from keras_gdx.distribute.check import Remark, check  # noqa: E402
from keras_gdx.distribute.prepare import prepare  # noqa: E402
from keras_gdx.distribute.strategies import strategy  # noqa: E402

__all__ = ["Remark", "check", "prepare", "strategy"]
