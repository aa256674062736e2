"""Callbacks that keep their state through an interruption. In their arguments a step is a batch."""

from keras_gdx.registry import export

__all__ = export(__name__)
