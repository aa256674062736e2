"""Regularizers, for new layers and for existing models."""

from keras_gdx.registry import publish

__all__ = publish(__name__)
