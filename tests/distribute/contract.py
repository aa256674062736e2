"""Which rules are compared with which options on more replicas than a test process can have."""

import numpy as np

from keras_gdx.registry import REGISTRY
from tests.contract.harness import batches
from tests.contract.rules import FIRST, core, make, suited
from tests.contract.test_replicas import OPTIONS
from tests.contract.tower import Tower
from tests.matrix import WHOLE_MATRIX

PIECES = {
    "gradient_accumulation_steps": 2,
    "global_clipnorm": 0.5,
    "weight_decay": 0.1,
    "skip_nonfinite": True,
    "shard_state": True,
}


def combinations(workers, replicas):
    """The pairs of a rule of `FIRST` and an option that such a cluster runs.

    In pieces are a plain rule, and on two workers those that mix entries, too; `test_shards` has
    all of them on two replicas. Rules that cannot be in pieces have all other options together. One
    replica per worker is left to these, and to a plain rule.
    """

    def in_pieces(rule):
        alone = workers > 1 and make(rule).evaluates_others
        return REGISTRY[rule].cls.divisible and not alone

    def is_chosen(rule):
        mixes = (workers, replicas) == (2, 1) and not core(make(rule)).elementwise
        return WHOLE_MATRIX or rule == FIRST[0] or mixes

    pieces = [(rule, "pieces") for rule in FIRST if in_pieces(rule) and is_chosen(rule)]
    whole = [(rule, "all_together") for rule in FIRST if not in_pieces(rule)]
    if workers == 1:
        return pieces + whole
    if replicas > 1:
        return pieces
    return [(FIRST[0], "all_together"), *whole, ("adam", "bfloat16_state")]


def trained(rule, option, strategy=None):
    """The weights after five steps on unequal parts of batches."""
    options = PIECES if option == "pieces" else suited(rule, OPTIONS[option])
    run = Tower(lambda: make(rule, **options), strategy).train(batches(5))
    run.optimizer.flush()
    assert np.abs(run.weights() - run.start).max() > 1e-3, "nothing moved, so nothing was compared"
    return run.weights().tolist()
