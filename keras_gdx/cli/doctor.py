"""`doctor`: whether the installation works, and what is known to be wrong in Keras."""

import argparse
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import keras

from keras_gdx._version import __version__
from keras_gdx.cli.answer import Answer, table
from keras_gdx.integration.devices import device_names

PACKAGES = ("keras", "tensorflow", "tensorflow-cpu", "jax", "torch", "numpy", "scipy", "matplotlib")
SETTINGS = (
    "KERAS_BACKEND", "XLA_FLAGS", "TF_XLA_FLAGS", "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "TF_ENABLE_ONEDNN_OPTS",
    "TF_DETERMINISTIC_OPS", "CUDA_VISIBLE_DEVICES",
)  # fmt: skip
MEASURED = "3.15.1"
# What a training run of plain Keras meets, and what to use instead. README.md has the whole list.
DEFECTS = (
    ("gradient accumulation on several replicas raises an error", "any optimizer of keras_gdx"),
    ("clipping on several replicas is done before gradients are summed", "the same"),
    ("schedules and averages count batches, not updates, while accumulating", "the same"),
    ("the last, incomplete accumulation window is carried into the next fit", "the same"),
    ("excluded variables are decayed again after loading", "`no_decay=` of our optimizers"),
    ("BackupAndRestore restarts an epoch with other random numbers", "ResumableCheckpoint"),
    ("losses of uneven batches are means of means on replicas", "keras_gdx.distribute.prepare"),
    ("fit on several workers raises an error", "keras_gdx.distribute"),
)


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the command."""
    parser = commands.add_parser("doctor", parents=[common], help="check the installation")
    parser.add_argument("--no-test", action="store_true", help="without training two replicas")
    parser.set_defaults(run=_doctor)


def _doctor(given: argparse.Namespace) -> Answer:
    data: dict[str, Any] = {
        "versions": versions(),
        "backend": keras.backend.backend(),
        "devices": device_names(),
        "settings": {name: os.environ[name] for name in SETTINGS if name in os.environ},
        "keras_defects": [{"what": what, "instead": instead} for what, instead in DEFECTS],
    }
    healthy = True
    if not given.no_test:
        data["two_replicas"] = replicas()
        healthy = data["two_replicas"]["ok"]
    shown: list[Any] = [
        table([{"a": n, "b": v} for n, v in data["versions"].items()], "versions", ""),
        f"\nbackend   {data['backend']} on {', '.join(data['devices'])}",
    ]
    if data["settings"]:
        shown += [
            "",
            table([{"a": n, "b": v} for n, v in data["settings"].items()], "settings", ""),
        ]
    known = f"wrong in Keras {MEASURED}; installed is {keras.__version__}"
    shown += ["", table(data["keras_defects"], known, "instead")]
    if "two_replicas" in data:
        shown += ["", f"two replicas   {data['two_replicas']['said']}"]
    return Answer(data, shown, code=0 if healthy else 1)


def versions() -> dict[str, str]:
    """The versions of what is installed."""
    found = {"keras_gdx": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def replicas() -> dict[str, Any]:
    """Trains the same model on one device and on two virtual ones, in another process."""
    command = [sys.executable, "-m", "keras_gdx.cli.self_test"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        return {"ok": False, "said": f"failed: {last[0]}"}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
