"""The cost of communication: steps per second, bytes sent, and all-reduce time by size.

Run with `python -m benchmarks.scaling`. One, two and four workers on this machine train a network
of 1.1M weights, each with 32 examples per step, and communicate through loopback, where the kernel
counts the bytes. The workers share the cores, so only the additional cost of communication can be
measured here: `cost of talking` is the time of a step divided by that of the same number of workers
that do not communicate (`LocalSteps` that never synchronizes). The latency and bandwidth for the
model in `docs/scaling.md` are fitted to the all-reduces.
"""

import argparse
import json
import os
import re
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks.machine import save
from benchmarks.pairs import ratio

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"
SIZES = [2**12, 2**16, 2**20, 2**22, 2**24, 2**26]  # bytes of an all-reduce
STEPS, FIRST = 60, 12  # steps of each run, and how many of the first are not timed
WIDTH = 512


def optimizers():
    """The configurations that are compared."""
    from keras_gdx.optimizers import AdamW, LocalSteps

    return {
        "no talking": lambda: LocalSteps(AdamW(1e-3), sync_period=10**6),
        "float32": lambda: AdamW(1e-3),
        "bfloat16": lambda: AdamW(1e-3, reduce_dtype="bfloat16"),
        "float16": lambda: AdamW(1e-3, reduce_dtype="float16"),
        "float32, shard_state": lambda: AdamW(1e-3, shard_state=True),
        "every 8th update": lambda: LocalSteps(AdamW(1e-3), sync_period=8),
    }


def work(path):
    """Runs one worker: measures everything; the first worker writes the results."""
    import keras
    import tensorflow as tf

    from keras_gdx import distribute

    strategy = distribute.strategy()
    replicas = strategy.num_replicas_in_sync
    keras.utils.set_random_seed(1)
    steps = {}
    for name, make in optimizers().items():
        with strategy.scope():
            layers = [keras.layers.Dense(WIDTH, "relu") for _ in range(4)]
            model = keras.Sequential([keras.Input((WIDTH,)), *layers, keras.layers.Dense(10)])
            model.compile(make(), "mse")
        distribute.prepare(model)
        steps[name] = trained(model, 32 * replicas)
        kept = sum(v.value.numpy().nbytes for v in model.optimizer.variables)
        steps[name]["state"] = kept / model.count_params()
    weights = model.count_params()
    reductions = {size: reduced(tf, strategy, size) for size in SIZES} if replicas > 1 else {}
    buckets = in_buckets(strategy) if replicas == 2 else None
    if replicas == 1 or strategy.extended.should_checkpoint:
        result = {"weights": weights, "steps": steps, "reductions": reductions, "buckets": buckets}
        Path(path).write_text(json.dumps(result), encoding="utf-8")


def trained(model, batch_size):
    """Median seconds per step, and the bytes that all workers together send in it."""
    import keras

    ends, bytes_sent = [], []

    def note(batch, logs):
        ends.append(time.perf_counter())
        bytes_sent.append(loopback())

    watch = keras.callbacks.LambdaCallback(on_train_batch_end=note)
    x, y = np.ones((batch_size * STEPS, WIDTH), "float32"), np.ones((batch_size * STEPS, 10))
    model.fit(x, y, batch_size, verbose=0, shuffle=False, callbacks=[watch])
    seconds = [b - a for a, b in pairwise(ends[FIRST:])]
    sent = (bytes_sent[-1] - bytes_sent[FIRST]) / (len(bytes_sent) - 1 - FIRST)
    return {"seconds": statistics.median(seconds), "mean": statistics.mean(seconds), "bytes": sent}


def in_buckets(strategy):
    """Seconds of steps with 67 MB of gradients: one reduction, or buckets sent during backward."""
    import keras

    from keras_gdx import distribute, optimizers
    from keras_gdx.backends import tensorflow as engine

    bucket, models = engine.BUCKET, {}
    for name, size in {"at once": 0, "in buckets": bucket}.items():
        engine.BUCKET = size
        with strategy.scope():
            layers = [keras.layers.Dense(2 * WIDTH, "relu") for _ in range(16)]
            model = keras.Sequential([keras.Input((2 * WIDTH,)), *layers])
            model.compile(optimizers.AdamW(1e-3), "mse")
        models[name] = distribute.prepare(model)
        fit(model, 2, 128)
    found = {name: [] for name in models}
    for _ in range(5):  # alternate: the machine is not always equally fast
        for name, model in models.items():
            found[name] += fit(model, 12, 128)[2:]
    return found


def fit(model, steps, batch_size):
    """The seconds of each step except the first ones."""
    import keras

    ends = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: ends.append(time.perf_counter())
    )
    x = np.ones((batch_size * steps, *model.input_shape[1:]), "float32")
    model.fit(x, x, batch_size, verbose=0, shuffle=False, callbacks=[watch])
    return [b - a for a, b in pairwise(ends)]


def loopback():
    """Bytes that this machine has sent through loopback."""
    lines = Path("/proc/net/dev").read_text(encoding="utf-8").splitlines()
    line = next(line for line in lines if line.strip().startswith("lo:"))
    return int(line.partition(":")[2].split()[8])


def reduced(tf, strategy, size):
    """Median seconds of an all-reduce of that many bytes."""

    @tf.function(autograph=False)
    def step():
        def in_replica():
            x = tf.ones(size // 4)
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, x)[0]

        return strategy.run(in_replica)

    found = []
    for _ in range(40):
        begin = time.perf_counter()
        step()
        found.append(time.perf_counter() - begin)
    return statistics.median(found[10:])


def fitted(reductions):
    """The ring latency in seconds and bandwidth in bytes per second that fit best.

    An all-reduce of `b` bytes on `n` workers is `2 (n - 1)` messages of `b / n` bytes.
    """
    rows = [
        (2 * (n - 1), 2 * (n - 1) / n * int(size), seconds)
        for n, found in reductions.items()
        for size, seconds in found.items()
    ]
    messages, sent, seconds = np.array(rows).T
    scale = 1 / seconds  # relative errors, so that small messages count as much as large ones
    terms = np.stack([messages * scale, sent * scale], axis=1)
    (latency, per_byte), *_ = np.linalg.lstsq(terms, seconds * scale, rcond=None)
    return float(latency), float(1 / per_byte)


def compared(buckets):
    """The ratio of the seconds of two methods, with an interval."""
    return ratio(np.array(buckets["in buckets"]), np.array(buckets["at once"]))


def predicted(row, alone, weights, latency, bandwidth):
    """The seconds of a step by the formula of `docs/scaling.md`."""
    rounds = {"every 8th update": 1 / 8, "float32, shard_state": 1.5}.get(row["what"], 1)
    messages = 0 if row["what"] == "no talking" else rounds * 2 * (row["workers"] - 1)
    return alone + messages * latency + row["bytes_each"] * 4 * weights / bandwidth


def table(result):
    """The table of `docs/scaling.md`."""
    lines = [
        "| workers | what travels | steps/s | by the formula | each sends, times the weights | "
        "cost of talking | state, bytes per weight |",
        "|---|---|---|---|---|---|---|",
    ]
    latency, bandwidth = result["latency"], result["bandwidth"]
    for row in result["rows"]:
        if row["workers"] > 1:
            alone = row["mean"] / row["cost"]
            formula = predicted(row, alone, result["weights"], latency, bandwidth)
            lines.append(
                f"| {row['workers']} | {row['what']} | {1 / row['mean']:.0f} | {1 / formula:.0f} | "
                f"{row['bytes_each']:.2f} | {row['cost']:.1f} | {row['state']:.1f} |"
            )
    fit = f"{1e6 * latency:.0f} µs for a message and {bandwidth / 1e9:.2f} GB/s"
    less = "{:.2f} [{:.2f}, {:.2f}]".format(*result["buckets"])
    return "\n".join(
        [
            *lines,
            "",
            f"The all-reduces alone, of 4 kB to 64 MB, fit {fit}.",
            "",
            f"A step of two workers with 67 MB of gradients takes {less} times as long with\n"
            "buckets of 16 MB, sent while backward goes on, as with one reduction of all.",
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--save", action="store_true", help="write benchmarks/results and the page")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(args.work)
        return
    from keras_gdx.distribute.cluster import launch

    rows, reductions, buckets = [], {}, {}
    for workers in (1, 2, 4):
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "result.json")
            command = [sys.executable, "-m", "benchmarks.scaling", "--work", path]
            code = launch(command, workers, restarts=0)
            if code:
                sys.exit(code)
            found = json.loads(Path(path).read_text(encoding="utf-8"))
        if workers > 1:
            reductions[workers] = found["reductions"]
        if found["buckets"]:
            buckets = found["buckets"]
            print("in buckets / at once: {:.2f} [{:.2f}, {:.2f}]".format(*compared(buckets)))
        alone = found["steps"]["no talking"]["mean"]
        for name, step in found["steps"].items():
            row = {"workers": workers, "what": name, **step, "cost": step["mean"] / alone}
            row["bytes_each"] = step["bytes"] / workers / (4 * found["weights"])
            rows.append(row)
            print(
                f"{workers} workers  {name:18}{1 / step['mean']:7.1f} steps/s, median "
                f"{1e3 * step['seconds']:6.1f} ms; cost of talking {row['cost']:.2f}; each sends "
                f"{row['bytes_each']:.2f} x the weights, keeps {row['state']:.1f} bytes for each",
                flush=True,
            )
    latency, bandwidth = fitted(reductions)
    print(f"latency {1e6 * latency:.0f} microseconds, bandwidth {bandwidth / 1e9:.2f} GB/s")
    if args.save:
        result = {"weights": found["weights"], "rows": rows, "reductions": reductions}
        result |= {"buckets": compared(buckets), "latency": latency, "bandwidth": bandwidth}
        save("scaling", result)
        page = PAGE.read_text(encoding="utf-8")
        shown = f"<!-- scaling -->\n{table(result)}\n<!-- end of scaling -->"
        found = re.sub(r"<!-- scaling -->.*<!-- end of scaling -->", shown, page, flags=re.DOTALL)
        PAGE.write_text(found, encoding="utf-8")


if __name__ == "__main__":
    main()
