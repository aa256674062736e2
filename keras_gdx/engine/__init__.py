"""Where a step meets Keras and the backend: one module per backend, with the same functions."""

import keras

if keras.backend.backend() == "tensorflow":
    from keras_gdx.engine import tensorflow as backend
else:
    from keras_gdx.engine import portable as backend

__all__ = ["backend"]
