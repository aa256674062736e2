"""Callbacks that keep their state through an interruption. In their arguments a step is a batch."""

from keras_gdx.registry import publish

__all__ = publish(__name__)
