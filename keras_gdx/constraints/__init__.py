"""Weight constraints, applied after every update."""

from keras_gdx.registry import publish

__all__ = publish(__name__)
