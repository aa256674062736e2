"""Rules with every trait, on several replicas and workers equals the rule on one device."""

from functools import cache

import numpy as np
import pytest

from tests.distribute.conftest import SECONDS
from tests.distribute.contract import combinations, trained

pytestmark = [
    pytest.mark.timeout(SECONDS),
    pytest.mark.xdist_group("cluster"),
]
expected = cache(trained)
CLUSTERS = {"four_replicas": (1, 4), "two_workers": (2, 1), "two_workers_with_two": (2, 2)}


@pytest.mark.parametrize(
    ("cluster", "rule", "option"),
    [(name, *pair) for name, each in CLUSTERS.items() for pair in combinations(*each)],
)
def test_they_equal_one_device(cluster, rule, option, session):
    """Three workers are compared with one in `test_resuming_workers`."""
    # Rates that are estimated amplify rounding: one bit of the input changes Prodigy's weights by
    # 7e-6, DoG's by 1e-6.
    rounding = 5e-6 if rule in ("dog", "prodigy") else 1e-6
    limit = 1e-3 if option == "bfloat16_state" else rounding
    for report in session(*CLUSTERS[cluster])[0]:
        found = report[f"{rule} {option}"]["result"]
        np.testing.assert_allclose(found, expected(rule, option), rtol=0, atol=limit)
