"""Records trajectories of other implementations of the rules, for `tests/test_golden.py`.

    python -m tests.golden.record [rule ...]

writes `tests/golden/data/<rule>-<case>.npz` with the oracles of `tests/golden/oracles`: for every
variable its weights before the first and after each of 30 steps, and `meta`, which has the
arguments of our rule and the other package. Rules whose package is not installed are listed and
skipped. The packages are

    pip install numpy jax optax==0.2.8 torch==2.13 pytorch_optimizer==4.1.0 schedulefree==1.4.1

and, in a separate environment with Python 3.11,

    pip install tensorflow-cpu==2.15.1 tensorflow-addons==0.23.0

All run in float64, and the result is rounded to float32. In float32, optax's Adam ends 2.6 times
the test's tolerance away from it, and its RAdam 21 times: bias corrections lose digits in
`1 - beta**t`, and the rectifier even more.
"""

import json
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from tests.golden.problem import USUAL, problem

HERE = Path(__file__).parent
STEPS = 30


def record(rule, oracle, case):
    """Runs the other implementation of `rule` and writes one file."""
    weights, gradients = problem(getattr(oracle, "NAMES", USUAL), steps=STEPS)
    wide = {name: w.astype("float64") for name, w in weights.items()}
    steps = [
        {name: np.asarray(g[t], "float64") for name, g in gradients.items()} for t in range(STEPS)
    ]
    kwargs = oracle.CASES[case]
    seen = list(oracle.trajectory(wide, steps, **kwargs))
    trajectories = {
        key: np.float32([weights[key.partition(".")[0]], *(step[key] for step in seen)])
        for key in seen[0]
    }
    installed = version(oracle.PACKAGE).partition("+")[0]
    meta = {"rule": rule, "kwargs": kwargs, "oracle": f"{oracle.PACKAGE} {installed}"}
    file = HERE / "data" / f"{rule}-{case}.npz"
    np.savez_compressed(file, meta=json.dumps(meta), **trajectories)
    print(f"{file.name}: {meta['oracle']}")


def main(rules):
    for rule in rules:
        oracle = import_module(f"tests.golden.oracles.{rule}")
        try:
            version(oracle.PACKAGE)
        except PackageNotFoundError:
            print(f"{rule}: left as it is, {oracle.PACKAGE} is not installed")
            continue
        for case in oracle.CASES:
            record(rule, oracle, case)


if __name__ == "__main__":
    every = sorted(file.stem for file in (HERE / "oracles").glob("[!_]*.py"))
    main([rule.lower() for rule in sys.argv[1:]] or every)
