"""Timing two things in turn, so that a shared machine slows down both alike."""

import statistics
import time


def ratio(ours, theirs, rounds=15):
    """Returns (median, low, high) of ours / theirs over rounds; below 1 is faster than theirs.

    `low` and `high` are the quartiles.
    """
    ours(), theirs()
    quotients = []
    for _ in range(rounds):
        quotients.append(_seconds(ours) / _seconds(theirs))
    low, median, high = statistics.quantiles(quotients, n=4)
    return median, low, high


def _seconds(fn, repeat=3):
    start = time.perf_counter()
    for _ in range(repeat):
        fn()
    return time.perf_counter() - start
