"""What callbacks say while training goes on."""

import logging

import keras

__all__ = []


def say(text):
    """Prints, or logs to `keras_gdx` where Keras' interactive logging is switched off."""
    if keras.config.is_interactive_logging_enabled():
        print(text)
    else:
        logging.getLogger("keras_gdx").info(text.strip())
