"""A small classification problem."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest


@pytest.fixture
def problem():
    """Data, a function that makes a network, and a loss."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(96, 4)).astype("float32")

    def network():
        dense = [keras.layers.Dense(8, "tanh"), keras.layers.Dense(2, "softmax")]
        return keras.Sequential([keras.Input((4,)), *dense])

    labels = (x[:, 0] > 0).astype("int32")
    return SimpleNamespace(x=x, y=labels, network=network, loss="sparse_categorical_crossentropy")
