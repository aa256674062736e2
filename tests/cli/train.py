"""What users name on the command line."""

import keras
import numpy as np


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
