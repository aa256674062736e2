"""Every rule on four replicas and on two workers is the rule on one device."""

import json
import os

import pytest

from tests.contract.test_replicas import OPTIONS
from tests.distribute.contract import combinations
from tests.distribute.processes import succeed

SOME = ["all_together", "bfloat16_state", "pieces"]
CHOSEN = [*OPTIONS, "pieces"] if os.environ.get("KERAS_GDX_MATRIX") == "full" else SOME
SECONDS = 60 + 300 * len(CHOSEN)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(SECONDS),
    pytest.mark.xdist_group("processes"),
]


def limit(rule, option):
    """Rounding: DoG's rate carries it on, one bit of the input moves its weights by 1e-6."""
    return 1e-3 if option == "bfloat16_state" else 5e-6 if rule == "dog" else 1e-6


def check(path, workers):
    found = json.loads(path.read_text())
    assert [(rule, option) for rule, option, _ in found] == [*combinations(CHOSEN, workers)]
    for rule, option, difference in found:
        assert difference <= limit(rule, option), (rule, option)


def program(result, replicas):
    return lambda index: ["-m", "tests.distribute.contract", f"{result}-{index}", replicas, *CHOSEN]


def test_four_replicas_equal_one(tmp_path):
    succeed(program(tmp_path / "four", "4"), 1, SECONDS)
    check(tmp_path / "four-0", 1)


def test_two_workers_equal_one_device(tmp_path):
    succeed(program(tmp_path / "two", "1"), 2, SECONDS)
    for index in range(2):
        check(tmp_path / f"two-{index}", 2)
