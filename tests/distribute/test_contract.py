"""Every rule on several replicas and workers equals the rule on one device."""

import json

import pytest

from tests.contract.rules import WHOLE_MATRIX
from tests.contract.test_replicas import OPTIONS
from tests.distribute.contract import combinations
from tests.distribute.processes import succeed

SOME = ["all_together", "bfloat16_state", "pieces"]
CHOSEN = [*OPTIONS, "pieces"] if WHOLE_MATRIX else SOME
SECONDS = 60 + 300 * len(CHOSEN)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(SECONDS),
    pytest.mark.xdist_group("processes"),
]


def limit(rule, option):
    """Rounding: DoG's rate amplifies it, one bit of the input changes its weights by 1e-6."""
    return 1e-3 if option == "bfloat16_state" else 5e-6 if rule == "dog" else 1e-6


def compare(folder, workers, replicas, options):
    """Runs the contract with that many workers and replicas each, and checks what they write."""

    def program(index):
        result = str(folder / f"result-{index}")
        return ["-m", "tests.distribute.contract", result, str(replicas), *options]

    succeed(program, workers, SECONDS)
    for index in range(workers):
        found = json.loads((folder / f"result-{index}").read_text())
        assert [(rule, option) for rule, option, _ in found] == [*combinations(options, workers)]
        for rule, option, difference in found:
            assert difference <= limit(rule, option), (rule, option)


def test_four_replicas_equal_one(tmp_path):
    compare(tmp_path, 1, 4, CHOSEN)


def test_two_workers_equal_one_device(tmp_path):
    compare(tmp_path, 2, 1, CHOSEN)


@pytest.mark.parametrize(("workers", "replicas"), [(2, 2), (4, 1)])
def test_more_of_them_equal_one_device(workers, replicas, tmp_path):
    compare(tmp_path, workers, replicas, ["pieces"])
