"""A small problem with real digits, found by name from other processes; as a program, a comparison.

python -m tests.comparison.problem FOLDER
"""

import os
import signal
import sys
import time
from functools import cache

import keras
import numpy as np

import keras_gdx
from keras_gdx.datasets import Mnist5k
from keras_gdx.integration.random_state import seed


def build():
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((196,)), layers.Dense(16, "relu"), layers.Dropout(0.1), layers.Dense(10)]
    )


@cache
def data():
    images, labels = Mnist5k.read(Mnist5k.source(), "train")
    chosen = np.random.default_rng(0).permutation(len(images))[:600]
    x = (images[chosen, ::2, ::2].reshape(600, 196) / 255.0).astype("float32")
    return x, labels[chosen].astype("int32")


class Faults(keras.callbacks.Callback):
    """Seeds 1 to 4 fail, each in its own way."""

    def on_train_batch_end(self, batch, logs=None):
        match seed():
            case 1:
                raise RuntimeError("on purpose")
            case 2:
                os.kill(os.getpid(), signal.SIGKILL)
            case 3:
                time.sleep(3600)
            case 4:
                self.model.layers[-1].bias.assign(np.full(10, np.nan, "float32"))


def faults():
    return [Faults()]


STRATEGIES = {
    "adamw": {"optimizer": "adamw", "learning_rate": keras_gdx.LogUniform(1e-4, 1e-1)},
    "keras": keras.optimizers.SGD(0.1),
}
OPTIONS = {
    "budget": keras_gdx.Budget(steps=20),
    "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "evaluations": 4,
    "trials": 3,
    "seeds": 2,
    "max_seeds": 2,
}

if __name__ == "__main__":
    keras_gdx.compare(
        "tests.comparison.problem:build",
        "tests.comparison.problem:data",
        STRATEGIES,
        **OPTIONS,
        workers=1,
        resume=sys.argv[1],
    )
