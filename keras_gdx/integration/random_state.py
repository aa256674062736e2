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
    _restore(state, random, np.random)


def is_random_state(state):
    """The states of Python's and NumPy's generators."""
    kind = type(np.random.get_bit_generator())  # type: ignore[attr-defined]
    try:
        _restore(state, random.Random(), np.random.RandomState(kind()))
        place = state["numpy"]["state"].get("pos", 0)  # beyond its 624 numbers NumPy reads on
        return 0 <= place <= 624
    except (TypeError, ValueError, KeyError, OverflowError, AttributeError):
        return False


def _restore(state, python, numpy):
    version, numbers, rest = state["python"]
    python.setstate((version, tuple(numbers), rest))
    numpy.set_state(state["numpy"])
