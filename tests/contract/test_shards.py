"""Replicas that have a piece of the state each take the step of one device that has all."""

import numpy as np
import pytest

from keras_gdx.registry import REGISTRY
from tests.contract.harness import Run, assert_same, batches
from tests.contract.rules import RULES, WRAPPERS, make
from tests.contract.test_replicas import OPTIONS

DIVISIBLE = [rule for rule in RULES if REGISTRY[rule].cls.divisible]
MORE = {
    "kahan": {"precision": "kahan"},
    "one by one": {"fused": False},
    "programs": {"fused": True},
}
every_divisible_rule = pytest.mark.parametrize("rule", DIVISIBLE)
SHAPES = 3 * [(6, 8)] + 3 * [(8,)] + [(5, 3), ()]  # three of a shape: two replicas, then one alone


class Stacked(Run):
    """Variables of equal shapes, and one that never has a gradient."""


@every_divisible_rule
@pytest.mark.parametrize("option", OPTIONS | MORE)
def test_two_replicas_with_pieces_equal_one(rule, option, mirrored):
    options = (OPTIONS | MORE)[option]
    if rule.startswith("schedulefree") and options.get("use_ema"):
        pytest.skip("its weights are an average already")
    if rule in WRAPPERS and "precision" in options:
        pytest.skip("weights are given back rounded")
    data = list(batches(5))
    tolerance = {"atol": 1e-3} if "state_dtype" in options else {}
    two = Run(lambda: make(rule, shard_state=True, **options), mirrored).train(data)
    one = Run(lambda: make(rule, **options)).train(data)
    for run in (two, one):
        run.optimizer.flush()
    assert_same(two, one, **tolerance)
    for v in two.model:
        copies = [np.asarray(x) for x in mirrored.experimental_local_results(v.value)]
        np.testing.assert_array_equal(*copies, err_msg=v.path)
