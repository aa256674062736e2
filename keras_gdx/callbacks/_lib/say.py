"""Messages of callbacks during training."""

import logging

import keras

__all__ = []


def say(text: str) -> None:
    """Prints `text`, or logs it to `keras_gdx` if Keras' interactive logging is off."""
    if keras.config.is_interactive_logging_enabled():
        print(text)
    else:
        logging.getLogger("keras_gdx").info(text.strip())
