"""The conditions of a measurement: machine, versions and memory bandwidth."""

import json
import os
import platform
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("keras_gdx", "keras", "tensorflow-cpu", "tensorflow", "torch", "jax", "optax", "numpy")


def describe():
    """Machine and package versions, for the header of a result."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "date": date.today().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": versions,
    }


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


COPIED = 2**28  # bytes, far more than the caches hold


def copy():
    """A function in which one thread copies memory: half of `COPIED` is read, half written."""
    source = np.ones(COPIED // 8, "float32")
    target = np.empty_like(source)
    return lambda: np.copyto(target, source)


def save(name, result):
    """Writes a result to `benchmarks/results/NAME.json`, with a description of the machine."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"machine": describe(), **result}, indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
