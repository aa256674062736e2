"""A small, repeatable training run."""

import keras
import numpy as np
import pytest

from tests.data import in_batches


class Problem:
    """A linear model, its data, and a `fit` without randomness."""

    def __init__(self):
        noise = np.random.default_rng(0)
        self.x = noise.normal(size=(16, 3)).astype("float32")
        self.y = noise.normal(size=(16, 1)).astype("float32")

    def model(self, optimizer=None, **options):
        dense = keras.layers.Dense(1, kernel_initializer="ones", name="out")
        model = keras.Sequential([keras.Input((3,)), dense])
        model.compile(optimizer or keras.optimizers.SGD(0.5), "mse", **options)
        return model

    def fit(self, model, callbacks, epochs=2, **options):
        """Returns the history; there are four batches per epoch."""
        data = in_batches(4, self.x, self.y)
        options = {"validation_data": data, "verbose": 0, "shuffle": False} | options
        return model.fit(data, epochs=epochs, callbacks=callbacks, **options).history


@pytest.fixture(scope="session")
def problem():
    return Problem()
