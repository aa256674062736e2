"""Modifiers: pure functions applied to the gradient or the direction of any optimizer."""

from keras_gdx.modifiers.base import Modifier
from keras_gdx.registry import publish

__all__ = ["Modifier", *publish(__name__)]
