"""What an update asks of TensorFlow, and the same for every other backend of Keras."""

from importlib import import_module
from typing import Any

import keras

NAME = "tensorflow" if keras.backend.backend() == "tensorflow" else "portable"
backend: Any = import_module(f"keras_gdx.backends.{NAME}")
