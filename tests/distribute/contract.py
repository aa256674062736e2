"""The contract of the rules on more replicas than a test process can have; also a program.

`python -m tests.distribute.contract RESULT REPLICAS OPTION...` trains with every rule, as one
worker of `TF_CONFIG` or alone, and writes the difference of its weights from those of one device.
"""

import itertools
import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from keras_gdx import distribute

# modules that use TensorFlow are imported below, after the strategy is created


PIECES = {
    "gradient_accumulation_steps": 2,
    "global_clipnorm": 0.5,
    "weight_decay": 0.1,
    "skip_nonfinite": True,
    "shard_state": True,
}


def difference(rule, option, strategy):
    """The largest difference of a weight after five steps on unequal shards of batches."""
    from tests.contract.harness import batches
    from tests.contract.rules import make, suited
    from tests.contract.test_replicas import OPTIONS
    from tests.contract.tower import Tower

    options = PIECES if option == "pieces" else suited(rule, OPTIONS[option])
    many, one = (
        Tower(lambda: make(rule, **options), s).train(batches(5)) for s in (strategy, None)
    )
    for run in (many, one):
        run.optimizer.flush()
    assert np.abs(one.weights() - one.start).max() > 1e-3, "nothing moved, so nothing was compared"
    return float(np.abs(many.weights() - one.weights()).max())


def combinations(options, workers):
    """All rules with all options that they support on that many workers."""
    from keras_gdx.registry import REGISTRY
    from tests.contract.rules import RULES

    for rule, option in itertools.product(RULES, options):
        averages = rule.startswith("schedulefree")
        divisible = REGISTRY[rule].cls.divisible and not (averages and workers > 1)
        if divisible or option != "pieces":
            yield rule, option


def main(result, replicas, *options):
    """Trains, compares and writes."""
    strategy = distribute.strategy(replicas=int(replicas))
    workers = strategy.num_replicas_in_sync // int(replicas)
    found = [[*pair, difference(*pair, strategy)] for pair in combinations(options, workers)]
    with open(result, "w", encoding="utf-8") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
