"""The faults of `tools/mutants.py` can still be planted; running it is too long for a test."""

import ast
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MUTANTS = runpy.run_path(str(ROOT / "tools" / "mutants_table.py"))["MUTANTS"]


def test_there_are_many():
    assert len(MUTANTS) >= 40


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.file}: {m.fault}")
def test_can_be_planted(mutant):
    text = (ROOT / "keras_gdx" / mutant.file).read_text(encoding="utf-8")
    ast.parse(mutant.planted(text))
    for name in mutant.tests.split(" -k ")[0].split():
        assert (ROOT / name).exists()
