"""One step of every rule, compared with Keras' rule of the same name and with our AdamW.

So is `LossScaleOptimizer`, around ours and Keras' AdamW.

Run with `python -m benchmarks.rules`. The weights are those of a small transformer: twelve
blocks of width 256. Results go to `benchmarks/results/rules.json`.
"""

import argparse
import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from datetime import date

import keras
import numpy as np

import keras_gdx
from benchmarks.machine import RESULTS, save
from benchmarks.pairs import ratio, times
from benchmarks.rivals import of_keras, tensors

BLOCK = [(256, 768), (768,), (256, 256), (256,), (256, 1024), (1024,), (1024, 256), (256,)]
NORMS = [(256,)] * 4
SHAPES = [(4000, 256), *(BLOCK + NORMS) * 12]
THEIRS = {
    "adadelta": ("Adadelta", 1.0), "adafactor": ("Adafactor", 0.01), "adagrad": ("Adagrad", 0.01),
    "adam": ("Adam", 1e-3), "adamax": ("Adamax", 1e-3), "adamw": ("AdamW", 1e-3),
    "ftrl": ("Ftrl", 1e-3), "lamb": ("Lamb", 1e-3), "lion": ("Lion", 1e-4), "muon": ("Muon", 0.02),
    "nadam": ("Nadam", 1e-3), "rmsprop": ("RMSprop", 1e-3), "sgd": ("SGD", 0.01),
    "schedulefreeadamw": ("ScheduleFreeAdamW", 1e-3),
}  # fmt: skip
NOT_RULES = ("lookahead", "localsteps", "partition", "schedulefree")
SCALED = "lossscaleoptimizer"


def pair(name):
    """Ours and Keras', or `None`, as functions of a learning rate; and Keras' rate."""
    if name == SCALED:
        return scaled(keras_gdx.optimizers), scaled(keras.optimizers), 1e-3
    theirs, rate = THEIRS.get(name, ("", 0.0))
    return keras_gdx.info(name).cls, getattr(keras.optimizers, theirs, None), rate


def scaled(package):
    return lambda rate: package.LossScaleOptimizer(package.AdamW(rate))


def measure(name, rounds, jit):
    given = tensors(SHAPES)
    ours, theirs, rate = pair(name)
    steps = {
        "ours": of_keras(ours, 1e-3, *given, jit=jit),
        "AdamW": of_keras(keras_gdx.optimizers.AdamW, 1e-3, *given, jit=jit),
    }
    if theirs:
        steps["Keras"] = of_keras(theirs, rate, *given, jit=jit)
    found = times(steps, rounds, repeat=2)
    return {
        "rule": name,
        "date": date.today().isoformat(),
        "compiled": jit,
        "milliseconds": 1000 * float(np.median(found["ours"])),
        "to_adamw": ratio(found["ours"], found["AdamW"]),
        "to_keras": ratio(found["ours"], found["Keras"]) if "Keras" in found else None,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--rules", nargs="+", help="only these")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results; others stay")
    args = parser.parse_args()
    names = args.rules or [*(n for n in keras_gdx.list("*") if _is_rule(n)), SCALED]
    print(f"{'rule':20}      {'a step':>12}  / our AdamW [quartiles]  / Keras' own")
    rows = []
    for name in names:
        for jit in (False, True):
            row = measure(name, args.rounds, jit)
            shown = [
                "{:7.2f} [{:.2f}, {:.2f}]".format(*row[k]) if row[k] else ""
                for k in ("to_adamw", "to_keras")
            ]
            mode = "XLA" if jit else "graph"
            print(
                f"{name:20}{mode:5}{row['milliseconds']:9.2f} ms {shown[0]:24} {shown[1]}",
                flush=True,
            )
            rows.append(row)
    if args.save:
        known = json.loads((RESULTS / "rules.json").read_text(encoding="utf-8"))["rows"]
        others = [row for row in known if row["rule"] not in names]
        save("rules", {"rows": sorted(others + rows, key=lambda row: row["rule"])})


def _is_rule(name):
    return keras_gdx.info(name).kind == "optimizer" and name not in NOT_RULES


if __name__ == "__main__":
    main()
