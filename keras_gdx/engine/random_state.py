"""The random numbers that training draws from outside of the model."""

import random

import numpy as np
from keras.src.random.seed_generator import global_seed_generator  # what layers without a seed use
from keras.src.utils.rng_utils import get_random_seed


def seed():
    """What `keras.utils.set_random_seed` was given, or `None`."""
    return get_random_seed()


def random_variables():
    """Keras' own state, a variable."""
    return [global_seed_generator().state]


def random_state():
    """The states of Python's and NumPy's generators."""
    return {"python": random.getstate(), "numpy": np.random.get_state(legacy=False)}


def restore_random_state(state):
    """Takes back what `random_state` returned."""
    version, numbers, rest = state["python"]
    random.setstate((version, tuple(numbers), rest))
    np.random.set_state(state["numpy"])
