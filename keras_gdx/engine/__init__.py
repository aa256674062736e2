"""Where a step meets Keras and the backend: a module for each, with the same functions."""

from importlib import import_module
from typing import Any

import keras

NAME = "tensorflow" if keras.backend.backend() == "tensorflow" else "portable"
backend: Any = import_module(f"keras_gdx.engine.{NAME}")
