"""Which rules are compared with which options on more replicas than a test process can have."""

import numpy as np

from keras_gdx.registry import REGISTRY
from tests.contract.harness import batches
from tests.contract.rules import FIRST, make, suited
from tests.contract.test_replicas import OPTIONS
from tests.contract.tower import Tower

PIECES = {
    "gradient_accumulation_steps": 2,
    "global_clipnorm": 0.5,
    "weight_decay": 0.1,
    "skip_nonfinite": True,
    "shard_state": True,
}


def combinations(*options, workers=1):
    """The pairs of a rule of `FIRST` and an option that are supported on that many workers."""

    def possible(rule, option):
        alone = workers > 1 and make(rule).evaluates_others
        return option != "pieces" or (REGISTRY[rule].cls.divisible and not alone)

    return [(rule, option) for rule in FIRST for option in options if possible(rule, option)]


def trained(rule, option, strategy=None):
    """The weights after five steps on unequal parts of batches."""
    options = PIECES if option == "pieces" else suited(rule, OPTIONS[option])
    run = Tower(lambda: make(rule, **options), strategy).train(batches(5))
    run.optimizer.flush()
    assert np.abs(run.weights() - run.start).max() > 1e-3, "nothing moved, so nothing was compared"
    return run.weights().tolist()
