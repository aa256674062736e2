"""Extends a model by a second gradient."""

import keras

from keras_gdx.arguments import check, needs_tensorflow
from keras_gdx.sharpness.ascent import Ascent


def extended(name: str, model: keras.Model, ascent: Ascent) -> keras.Model:
    """The model, whose train steps now take the gradients where the ascent leads."""
    check(isinstance(model, keras.Model), "model", model, "a Keras model")
    needs_tensorflow(name)
    from keras_gdx.integration.second_gradient import install  # TensorFlow only

    install(model, ascent if ascent.rho else None)
    return model
