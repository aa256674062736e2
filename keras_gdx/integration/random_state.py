"""The random states outside of the model that training uses."""

import random

import numpy as np
from keras.src.random.seed_generator import global_seed_generator  # used by layers without a seed
from keras.src.utils.rng_utils import get_random_seed


def seed():
    """What `keras.utils.set_random_seed` was given, or `None`."""
    return get_random_seed()


def random_variables():
    """Keras' global random state, as a list of one variable."""
    return [global_seed_generator().state]


def random_state():
    """The states of Python's and NumPy's generators."""
    return {"python": random.getstate(), "numpy": np.random.get_state(legacy=False)}


def random_counts():
    """What changes when a number is drawn from Python's or NumPy's generator."""
    numpy = np.random.get_state(legacy=False)["state"]
    return hash(random.getstate()), hash(numpy["key"].tobytes()), numpy["pos"]


def restore_random_state(state):
    """Restores what `random_state` returned."""
    _restore(state, random, np.random)


def is_random_state(state):
    """The states of Python's and NumPy's generators."""
    kind = type(np.random.get_bit_generator())  # type: ignore[attr-defined]
    try:
        _restore(state, random.Random(), np.random.RandomState(kind()))
        position = state["numpy"]["state"].get("pos", 0)  # beyond 624 NumPy reads past its numbers
        return 0 <= position <= 624
    except (TypeError, ValueError, KeyError, OverflowError, AttributeError):
        return False


def _restore(state, python, numpy):
    version, numbers, rest = state["python"]
    python.setstate((version, tuple(numbers), rest))
    numpy.set_state(state["numpy"])
