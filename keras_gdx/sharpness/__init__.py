"""Train steps with a second gradient, at weights nearby."""

from keras_gdx.sharpness.looksam import LookSAM
from keras_gdx.sharpness.sam import SAM

__all__ = ["SAM", "LookSAM"]
