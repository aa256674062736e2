"""Learning-rate schedules, which may stand wherever a hyper-parameter does."""

from keras_gdx.registry import export

__all__ = export(__name__)
