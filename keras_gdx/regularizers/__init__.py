"""Regularizers, for new layers and for existing models."""

from keras_gdx.registry import export

__all__ = export(__name__)
