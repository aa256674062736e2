"""Shared by the examples that kill themselves: trains whole and killed, and compares."""

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def ends_the_same(train, kills, program, *arguments):
    """Whether a program that is killed `kills` times ends with the weights of `train(folder)`.

    The program gets `--folder`. It saves checkpoints in `checkpoints` there, goes on from them, and
    writes `weights.npz` at its end, as `train` does.
    """
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        train(whole)
        _run([program, "--folder", str(killed), *arguments], killed, kills)
        with np.load(whole / "weights.npz") as a, np.load(killed / "weights.npz") as b:
            equal = all(np.array_equal(a[name], b[name]) for name in a)
    print(f"the weights are {'the same, bit for bit' if equal else 'DIFFERENT'}")
    return equal


def _run(arguments, folder, kills):
    """Runs the program until it ends by itself, killing it that many times with SIGKILL."""
    chance = random.Random(0)
    for number in range(1, kills + 1):
        process = subprocess.Popen([sys.executable, *arguments])
        known = set((folder / "checkpoints").glob("checkpoint-*"))
        while process.poll() is None and known >= set((folder / "checkpoints").glob("check*")):
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 0.3))  # an epoch takes longer
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        print(f"killed {number} of {kills}", flush=True)
    subprocess.run([sys.executable, *arguments], check=True)
