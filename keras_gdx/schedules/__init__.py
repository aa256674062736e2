"""Schedules for the learning rate and any other numeric hyperparameter."""

from keras_gdx.registry import publish

__all__ = publish(__name__)
