"""One optimizer step: ours, Keras' rule of the same name, PyTorch's, optax's.

Run with `python -m benchmarks.update_step`. All contestants are timed in turn, in one run. Results
are ratios with quartiles: to Keras' step executed the same way, and to the memory limit, the time
in which one thread copies as many bytes as the step has to read and write. `writing only` is no
rule: it writes each variable once, the least that a step can do in TensorFlow. `ours, one loop` is
ours in a graph, in a process that sets XLA's option for one loop (docs/performance.md). Results are
saved to `benchmarks/results/update_step.json`, from which `python -m benchmarks.render` makes the
README's table.
"""

import argparse
import os
import time
from math import prod

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import keras_gdx
from benchmarks.machine import COPIED, copy, save
from benchmarks.pairs import ratio, times
from benchmarks.rivals import (
    installed,
    of_keras,
    of_optax,
    of_process,
    of_torch,
    of_writes,
    tensors,
)
from keras_gdx.backends.tensorflow.one_loop import OPTION


def efficientnet():
    """The trainable variables of EfficientNet-B0."""
    net = keras.applications.EfficientNetB0(weights=None)
    return [tuple(v.shape) for v in net.trainable_variables]


CASES = {
    "15M in 50 variables": lambda: [(550, 550)] * 50,
    "0.6M in 300 variables": lambda: [(2000,)] * 300,
    "one matrix of 16M": lambda: [(4096, 4096)],
    "EfficientNet-B0": efficientnet,
}
# Options of AdamW, and the minimum number of bytes read and written per weight.
VARIANTS = {
    "plain": ({"weight_decay": 0.0}, 28),
    "decay": ({"weight_decay": 0.01}, 28),
    "decay, clipping": ({"weight_decay": 0.01, "global_clipnorm": 1.0}, 32),
    "decay, clipping, averages": (
        {"weight_decay": 0.01, "global_clipnorm": 1.0, "use_ema": True},
        40,
    ),
    "decay, 4 micro-batches": (
        {"weight_decay": 0.01, "gradient_accumulation_steps": 4},
        8 + 3 * 12 + 28,  # the first one is written, the others are added
    ),
}
EVERYWHERE = ("decay", "decay, clipping")
ONE_LOOP = {"XLA_FLAGS": f"--xla_backend_extra_options={OPTION}"}


def contestants(shapes, variant):
    """Functions that take a step, by name, and the seconds of the first call of each."""
    options, _ = VARIANTS[variant]
    calls = options.get("gradient_accumulation_steps", 1)
    given = tensors(shapes)
    makers = {
        f"{who}, {mode}": (cls, jit)
        for mode, jit in (("graph", False), ("XLA", True))
        for who, cls in (("Keras", keras.optimizers.AdamW), ("ours", keras_gdx.optimizers.AdamW))
    }
    steps, first = {"copy": copy()}, {}
    for name, (cls, jit) in makers.items():
        steps[name] = of_keras(cls, 1e-3, *given, jit=jit, calls=calls, **options)
        start = time.perf_counter()
        steps[name]()
        first[name] = time.perf_counter() - start
    for mode, jit in (("graph", False), ("XLA", True)):
        steps[f"writing only, {mode}"] = of_writes(*given, jit=jit, calls=calls)
    ours = keras_gdx.optimizers.AdamW, 1e-3, *given
    steps["ours, one loop"] = of_process(ONE_LOOP, of_keras, *ours, calls=calls, **options)
    if calls == 1 and not options.get("use_ema"):
        rest = {"clip": options.get("global_clipnorm"), "weight_decay": options["weight_decay"]}
        if installed("torch"):
            steps["PyTorch, fused"] = of_torch(*given, fused=True, **rest)
            steps["PyTorch"] = of_torch(*given, fused=False, **rest)
        if installed("optax"):
            steps["optax, jit"] = of_optax(*given, **rest)
    return steps, first


def measure(case, variant, rounds):
    """One row for each contestant."""
    shapes = CASES[case]()
    steps, first = contestants(shapes, variant)
    moved = VARIANTS[variant][1] * sum(map(prod, shapes))
    found = times(steps, rounds)
    limits = [seconds * moved / COPIED for seconds in found.pop("copy")]
    return [
        {
            "case": case,
            "variant": variant,
            "who": name,
            "milliseconds": 1000 * float(np.median(seconds)),
            "to_limit": ratio(seconds, limits),
            "to_keras": ratio(seconds, found["Keras, XLA" if "XLA" in name else "Keras, graph"]),
            "first_call_seconds": first.get(name),
        }
        for name, seconds in found.items()
    ]


def embedding(rounds, rows=1_000_000, width=64, batch=2048):
    """A step with a few rows of a large table: Keras writes the table, we write the rows."""
    rng = np.random.default_rng(0)
    gradient = tf.IndexedSlices(
        tf.constant(rng.normal(size=(batch, width)).astype("float32")),
        tf.constant(rng.integers(0, rows, batch)),
        tf.constant([rows, width]),
    )

    def step(optimizer):
        table = keras.Variable(np.zeros((rows, width), "float32"), name="embeddings")
        optimizer.build([table])
        return tf.function(lambda: optimizer.apply([gradient], [table]), autograph=False)

    steps = {
        "Keras, graph": step(keras.optimizers.Adam()),
        "ours, graph": step(keras_gdx.optimizers.Adam(sparse="lazy")),
        "copy": copy(),
    }
    found = times(steps, rounds)
    limits = [seconds * 28 * batch * width / COPIED for seconds in found.pop("copy")]
    return [
        {
            "case": f"{rows // 1_000_000}M x {width} table, {batch:,} rows",
            "variant": "Adam, lazy",
            "who": name,
            "milliseconds": 1000 * float(np.median(seconds)),
            "to_limit": ratio(seconds, limits),
            "to_keras": ratio(seconds, found["Keras, graph"]),
            "first_call_seconds": None,
        }
        for name, seconds in found.items()
    ]


def show(rows):
    for row in rows:
        keras_ratio, limit = (
            "{:7.2f} [{:.2f}, {:.2f}]".format(*row[key]) for key in ("to_keras", "to_limit")
        )
        first = row["first_call_seconds"]
        print(
            f"{row['case']:24} {row['variant']:26} {row['who']:15}"
            f"{row['milliseconds']:9.2f} ms {keras_ratio:24} {limit:24}"
            + (f"{first:6.1f} s" if first else ""),
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--case", help="only cases whose name contains this")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results")
    args = parser.parse_args()
    print(
        f"{'case':24} {'AdamW with':26} {'who':15}{'a step':>12}  / Keras [quartiles]       / limit"
    )
    rows = []
    for case in CASES:
        if args.case and args.case not in case:
            continue
        full = case.startswith("15M")
        for variant in VARIANTS if full else EVERYWHERE:
            found = measure(case, variant, args.rounds)
            show(found)
            rows += found
    if not args.case or args.case in "table":
        table = embedding(args.rounds)
        show(table)
        rows += table
    if args.save:
        save("update_step", {"rows": rows})


if __name__ == "__main__":
    main()
