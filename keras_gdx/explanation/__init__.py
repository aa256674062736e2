"""Explains the outputs of a trained model by its inputs."""

from keras_gdx.explanation.explain import explain

__all__ = ["explain"]
