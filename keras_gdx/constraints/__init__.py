"""Weight constraints, applied after every update."""

from keras_gdx.registry import export

__all__ = export(__name__)
