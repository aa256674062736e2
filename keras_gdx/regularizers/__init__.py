"""Penalties on weights, for new layers and for models that exist already."""

from keras_gdx.registry import export

__all__ = export(__name__)
