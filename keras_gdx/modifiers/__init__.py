"""Pure functions put before or after any rule."""

from keras_gdx.modifiers.base import Modifier
from keras_gdx.registry import export

__all__ = ["Modifier", *export(__name__)]
