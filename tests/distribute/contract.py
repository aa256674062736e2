"""The contract of the rules on more replicas than a test process can have; also a program.

`python -m tests.distribute.contract RESULT REPLICAS OPTION...` trains with every rule, as one
worker of `TF_CONFIG` or alone, and writes by how much its weights differ from those of one device.
"""

import itertools
import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from keras_gdx import distribute

# what uses TensorFlow is imported below, when the strategy is there


def difference(rule, option, strategy):
    """The largest difference of a weight after five steps on unequal parts of batches."""
    from tests.contract.harness import Run, batches
    from tests.contract.rules import make
    from tests.contract.test_replicas import OPTIONS

    def build():
        return make(rule, **OPTIONS[option])

    many, one = (Run(build, s).train(batches(5)) for s in (strategy, None))
    for run in (many, one):
        run.optimizer.flush()
    assert np.abs(one.weights() - one.start).max() > 1e-3, "nothing moved, so nothing was compared"
    return float(np.abs(many.weights() - one.weights()).max())


def combinations(options):
    """All rules with all options that they have."""
    from tests.contract.rules import RULES
    from tests.contract.test_replicas import OPTIONS

    for rule, option in itertools.product(RULES, options):
        if not (rule.startswith("schedulefree") and OPTIONS[option].get("use_ema")):
            yield rule, option


def main(result, replicas, *options):
    """Trains, compares and writes."""
    strategy = distribute.strategy(replicas=int(replicas))
    found = [[*pair, difference(*pair, strategy)] for pair in combinations(options)]
    with open(result, "w", encoding="utf-8") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
