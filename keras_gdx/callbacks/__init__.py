"""Callbacks that keep their state through an interruption."""

from keras_gdx.registry import export

__all__ = export(__name__)
