"""A first choice of optimizer and settings, before any experiment."""

from keras_gdx.recommendation.recommend import recommend

__all__ = ["recommend"]
