"""The backend operations that an update needs: for TensorFlow, and for Keras' other backends."""

from importlib import import_module
from typing import Any

import keras

NAME = "tensorflow" if keras.backend.backend() == "tensorflow" else "portable"
backend: Any = import_module(f"keras_gdx.backends.{NAME}")
