"""Timing things in turn, so that a shared machine slows down all alike."""

import statistics
import time


def times(contestants, rounds=15, repeat=3):
    """Calls all contestants in turn, round after round.

    Args:
        contestants: Maps names to functions. Each is called twice before it is timed.
        rounds: How often all of them are timed.
        repeat: Calls in a row that are timed as one.

    Returns:
        For each name the seconds of one call, by round.
    """
    found = {name: [] for name in contestants}
    for fn in contestants.values():
        fn(), fn()
    for _ in range(rounds):
        for name, fn in contestants.items():
            start = time.perf_counter()
            for _ in range(repeat):
                fn()
            found[name].append((time.perf_counter() - start) / repeat)
    return found


def ratio(ours, theirs):
    """(median, lower quartile, upper quartile) of ours / theirs, round by round."""
    quotients = [a / b for a, b in zip(ours, theirs, strict=True)]
    low, median, high = statistics.quantiles(quotients, n=4)
    return median, low, high
