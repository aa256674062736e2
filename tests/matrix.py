"""What only a release runs: `KERAS_GDX_MATRIX=full` tests all combinations, and long trainings."""

import os

import pytest

WHOLE_MATRIX = os.environ.get("KERAS_GDX_MATRIX") == "full"
before_a_release = pytest.mark.skipif(not WHOLE_MATRIX, reason="long: KERAS_GDX_MATRIX=full")
