"""Rules with every trait, on several replicas and workers equals the rule on one device."""

from functools import cache

import numpy as np
import pytest

from tests.distribute.conftest import SECONDS
from tests.distribute.contract import combinations, trained

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(SECONDS),
    pytest.mark.xdist_group("processes"),
]
expected = cache(trained)


def check(rule, option, reports):
    # Rounding: DoG's rate amplifies it, one bit of the input changes its weights by 1e-6.
    limit = 1e-3 if option == "bfloat16_state" else 5e-6 if rule == "dog" else 1e-6
    for report in reports:
        found = report[f"{rule} {option}"]["result"]
        np.testing.assert_allclose(found, expected(rule, option), rtol=0, atol=limit)


@pytest.mark.parametrize(("rule", "option"), combinations("all_together", "pieces"))
def test_four_replicas_equal_one(rule, option, session):
    check(rule, option, session(1, 4)[0])


@pytest.mark.parametrize(
    ("rule", "option"), [*combinations("all_together", workers=2), ("adam", "bfloat16_state")]
)
def test_two_workers_equal_one_device(rule, option, session):
    check(rule, option, session(2, 1)[0])


SHARDED = combinations("pieces", workers=2)


@pytest.mark.parametrize(
    ("rule", "option", "workers", "replicas"),
    [*((*each, 2, 2) for each in SHARDED), (*SHARDED[0], 4, 1)],
)
def test_more_of_them_equal_one_device(rule, option, workers, replicas, session):
    check(rule, option, session(workers, replicas)[0])
