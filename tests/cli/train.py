"""What users name on the command line."""

import keras
import numpy as np

import keras_gdx
from keras_gdx.comparison import spaces


def model():
    return keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(1)])


def task():
    compiled = model()
    compiled.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(320, 8))
    return compiled, (x, x[:, :1])


def number():
    return 3


def broken():
    raise RuntimeError("mine")


def data():
    x = np.random.default_rng(0).normal(size=(80, 8)).astype("float32")
    return x, x[:, :1]


def comparison():
    return {
        "build": model,
        "data": data,
        "strategies": {
            "good": {"optimizer": "adamw", "learning_rate": spaces.Advised(0.05)},
            "still": {"optimizer": "sgd", "learning_rate": 1e-9},
        },
        "budget": keras_gdx.Budget(steps=20),
        "loss": "mse",
        "evaluations": 2,
        "seeds": 3,
        "max_seeds": 3,
    }


def other():
    return {**comparison(), "epochs": 3}
