"""Callbacks that keep their state through an interruption."""

from keras_gdx.registry import publish

__all__ = publish(__name__)
