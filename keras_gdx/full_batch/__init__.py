"""Gradient descent on the whole data set."""

from keras_gdx.full_batch.fit import fit_full_batch

__all__ = ["fit_full_batch"]
