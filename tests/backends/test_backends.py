"""Every installed backend of Keras gives the numbers of TensorFlow, or raises an error.

`KERAS_GDX_MATRIX=full` tests everything that works there, instead of one of each kind.
"""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.backends.cases import CASES, CORE, REFUSED
from tests.matrix import WHOLE_MATRIX

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.backends


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_has_the_recorded_numbers(backend):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    process = subprocess.run(
        [sys.executable, "-m", "tests.backends.cases", *([] if WHOLE_MATRIX else ["--core"])],
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout


def rows():
    """The table of docs/differences.md: names in the first cell, and what the others say."""
    text = (ROOT / "docs" / "differences.md").read_text(encoding="utf-8")
    lines = text.partition("<!-- backends -->\n")[2].partition("<!-- end -->")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [({x.split("=")[0] for x in re.findall(r"`([^`]*)`", first)}, c) for first, *c in cells]


def test_what_the_page_calls_refused_is_refused():
    refused = {name for names, (_, jax, torch) in rows() for name in names if torch == "refused"}
    assert refused == {name.strip("`") for name in REFUSED}
    only_jax = [names for names, (_, jax, torch) in rows() if (jax, torch) == ("refused", "yes")]
    assert only_jax == [{"Scheduled"}]  # added by `cases` on JAX
    assert {tensorflow for _, (tensorflow, *_) in rows()} == {"yes"}


def test_the_core_is_recorded():
    assert {*CORE} <= {*CASES}
