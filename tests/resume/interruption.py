"""A run that is interrupted after a number of batches."""

import keras


class Interrupted(Exception):  # noqa: N818 - nothing is wrong
    pass


class Interruption(keras.callbacks.Callback):
    def __init__(self, batches):
        super().__init__()
        self.left = batches

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise Interrupted
