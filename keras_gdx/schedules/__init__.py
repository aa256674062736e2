"""Schedules for the learning rate and any other numeric hyperparameter."""

from keras_gdx.registry import export

__all__ = export(__name__)
