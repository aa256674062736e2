"""Random changes of files, as by damage or by an attacker."""

import copy
import math

import numpy as np

DEEP: list = []
for _ in range(200):
    DEEP = [DEEP]
JUNK = (
    None, True, -1, 0, 7, 10**30, 0.5, math.nan, math.inf, "", "x", "\ud800", "../../victim",
    "/etc/passwd", "0|momentum", "object", [], [[]], [None], {}, {"": 0}, DEEP, [0] * 50,
    {"__array__": "0", "dtype": "object"}, {"__array__": [], "dtype": {}}, {"__items__": [[[], 0]]},
    {"__items__": 3},
)  # fmt: skip
DTYPES = ("int8", "uint64", "float16", "float64", "complex64", "bool", "U3", "S2", "M8[s]")


def nodes(value, path=()):
    """The places in nested data, each as a path of keys."""
    yield path
    pairs = value.items() if isinstance(value, dict) else ()
    for key, each in enumerate(value) if isinstance(value, list) else pairs:
        yield from nodes(each, (*path, key))


def forged(value, rng, skip=()):
    """A copy of JSON in which one value, not below `skip`, is replaced, missing or duplicated."""
    places = [p for p in nodes(value) if not any(p[: len(s)] == s for s in skip)]
    path = places[rng.integers(len(places))]
    if not path:
        return JUNK[rng.integers(len(JUNK))]
    new = copy.deepcopy(value)
    inside = new
    for key in path[:-1]:
        inside = inside[key]
    how, key = rng.integers(6), path[-1]
    if how == 0:
        del inside[key]
    elif how == 1 and isinstance(inside, list):
        inside.insert(key, inside[key])
    elif how == 1:
        inside[str(JUNK[rng.integers(len(JUNK))])] = inside.pop(key)
    else:
        inside[key] = JUNK[rng.integers(len(JUNK))]
    return new


def forged_arrays(arrays, rng):
    """A copy of a dictionary of arrays in which one is replaced, missing or renamed."""
    new = dict(arrays)
    name = sorted(new)[rng.integers(len(new))]
    array = np.asarray(new.pop(name))
    how = rng.integers(7)
    if how == 1:
        new[str(JUNK[rng.integers(len(JUNK))])] = array
    elif how == 2:
        new[f"{rng.choice([-1, 10**6, 10**30])}|{name.partition('|')[2]}"] = array
    elif how == 3:
        new[name] = np.zeros(array.shape, DTYPES[rng.integers(len(DTYPES))])
    elif how == 4:
        new[name] = np.concatenate([array.ravel(), array.ravel()[:1]])
    elif how == 5:
        new[name] = array.reshape((1, *array.shape))
    elif how == 6:
        raw = bytearray(array.tobytes())
        for _ in range(3 if raw else 0):
            raw[rng.integers(len(raw))] = rng.integers(256)
        new[name] = np.frombuffer(bytes(raw), array.dtype).reshape(array.shape)
    return new
