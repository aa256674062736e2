"""Trains random combinations of everything, and compares each with the plainest way.

    python -m tools.fuzz [--minutes N] [--seed S]

A combination is *refused* if the package says so, in a `ValueError` that names an argument;
anything else but equal results is a failure. Hypothesis reduces it to the simplest combination that
still fails, which is printed as a program. The exit status is then 1.
"""

import argparse
import gc
import logging
import os
import random
import time
from collections import Counter

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf
from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.errors import NoSuchExample

from tools.fuzz.draw import configurations
from tools.fuzz.train import outcome

PROGRAM = """\
# The simplest combination that fails; run this at the root of the repository.
from tools.fuzz.draw import Configuration
from tools.fuzz.train import compare

compare({configuration})
"""
A_MINUTE = 60  # combinations at most, so that a seed means the same on fast machines
SETTINGS = settings(
    database=None,
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


def main(arguments=None) -> int:
    """Tries combinations until the time is over; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=2.0, help="how long to look for failures")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other combinations")
    options = parser.parse_args(arguments)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    gc.freeze()  # collections are then short
    keras.config.disable_traceback_filtering()  # the place of an error tells whether it is ours
    begin = time.monotonic()
    most = max(1, round(A_MINUTE * options.minutes))
    counts, failure = search(options.seed, begin + 60 * options.minutes, most)
    minutes = (time.monotonic() - begin) / 60
    print(f"{counts.total()} combinations, {counts.total() / minutes:.0f} a minute:")
    for name, count in counts.most_common():
        print(f"{count:6} {name}")
    if failure is not None:
        print(f"\n{outcome(failure)}\n\n{PROGRAM.format(configuration=failure)}")
    return int(failure is not None)


def search(seed, until, most=A_MINUTE):
    """Tries combinations; returns the counts of outcomes, and the simplest failure or `None`."""
    counts: Counter[str] = Counter()

    def fails(configuration):
        if time.monotonic() > until and not counts["failed"]:
            return False  # until hypothesis has drawn all that it may
        found = outcome(configuration)
        counts[found.partition(":")[0] if found.startswith("failed") else found] += 1
        return found.startswith("failed")

    try:
        chance = random.Random(seed)
        limited = settings(SETTINGS, max_examples=most)
        return counts, find(configurations(), fails, settings=limited, random=chance)
    except NoSuchExample:
        return counts, None


if __name__ == "__main__":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    raise SystemExit(main())
