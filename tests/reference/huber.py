"""Huber 1964: the value of the penalty, and its gradient."""

import numpy as np

HYPER = ({"factor": 0.3, "delta": 0.5},)


def penalty(w, factor=0.01, delta=1.0):
    size = np.abs(w)
    value = np.where(size <= delta, w**2 / 2, delta * (size - delta / 2)).sum()
    return factor * value, factor * np.clip(w, -delta, delta)
