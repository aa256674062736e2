"""Every installed backend of Keras gives the numbers of TensorFlow, or raises an error."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_has_the_recorded_numbers(backend):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    process = subprocess.run(
        [sys.executable, "-m", "tests.backends.cases"],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout
