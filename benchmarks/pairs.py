"""Timing of alternatives in turn, so that slowdowns of a shared machine affect all of them."""

import statistics
import time


def times(contestants, rounds=15, repeat=3):
    """Times all contestants in turn, for several rounds.

    Args:
        contestants: Maps names to functions. Each is called twice before it is timed.
        rounds: Number of rounds.
        repeat: Number of consecutive calls in one measurement.

    Returns:
        For each name, the seconds per call in each round.
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
    """(median, lower quartile, upper quartile) of the ratio ours / theirs over rounds."""
    quotients = [a / b for a, b in zip(ours, theirs, strict=True)]
    low, median, high = statistics.quantiles(quotients, n=4)
    return median, low, high
