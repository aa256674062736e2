"""Training steps of a recommender: two large tables and a small network.

Run with `python -m benchmarks.embeddings`. Whole steps are timed (`train_on_batch`), with forward
and backward pass. Each batch has other rows; the contestants take turns. With `--save` results go
to `benchmarks/results/embeddings.json`. On a CPU, `DistributedEmbedding` of keras-rs leaves its
tables to the model's optimizer, which is the case of Keras here.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

from benchmarks.machine import save
from benchmarks.pairs import ratio, times
from keras_gdx import optimizers

USERS, ITEMS, WIDTH, BATCH = 500_000, 100_000, 32, 4096


def model():
    user, item = (keras.Input((), dtype="int32", name=name) for name in ("user", "item"))
    u = layers.Embedding(USERS, WIDTH, name="user_table")(user)
    v = layers.Embedding(ITEMS, WIDTH, name="item_table")(item)
    x = layers.Dense(64, "relu", name="hidden")(layers.Concatenate()([u, v]))
    return keras.Model([user, item], layers.Dense(1, name="head")(x))


def partition(tables, **options):
    rest = optimizers.AdamW(1e-3, weight_decay=0.01)
    return optimizers.Partition({"table": tables}, default=rest, sparse="lazy", **options)


CONTESTANTS = {
    "row-wise Adagrad": lambda: partition(optimizers.Adagrad(0.1, rowwise=True)),
    "Adagrad": lambda: partition(optimizers.Adagrad(0.1)),
    "Adam": lambda: partition(optimizers.Adam(1e-3)),
    "Adam, 8 bits": lambda: partition(optimizers.Adam(1e-3), state_dtype="int8"),
    "Adam, decaying averages": lambda: partition(optimizers.Adam(1e-3), skipped="decay"),
    "Keras' Adagrad": lambda: keras.optimizers.Adagrad(0.1),
    "Keras' Adam": lambda: keras.optimizers.Adam(1e-3),
}


def step(make):
    """A function that takes a step with the next of a few batches, and the bytes of state."""
    rng = np.random.default_rng(0)
    net = model()
    net.compile(make(), "mse")
    batches = [
        (
            {
                "user": rng.integers(0, USERS, BATCH, "int32"),
                "item": (rng.zipf(1.2, BATCH) % ITEMS).astype("int32"),
            },
            rng.normal(size=(BATCH, 1)).astype("float32"),
        )
        for _ in range(8)
    ]
    taken = []

    def run():
        net.train_on_batch(*batches[len(taken) % len(batches)])
        taken.append(1)

    run()
    return run, sum(v.numpy().nbytes for v in net.optimizer.variables)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results")
    args = parser.parse_args()
    steps = {name: step(make) for name, make in CONTESTANTS.items()}
    found = times({name: run for name, (run, _) in steps.items()}, args.rounds)
    rows = []
    for name, (_, state) in steps.items():
        median = float(np.median(found[name]))
        rows.append(
            {
                "who": name,
                "rows_per_second": 2 * BATCH / median,
                "milliseconds": 1000 * median,
                "to_keras_adam": ratio(found[name], found["Keras' Adam"]),
                "state_bytes": state,
            }
        )
        shown = "{:.3f} [{:.3f}, {:.3f}]".format(*rows[-1]["to_keras_adam"])
        print(
            f"{name:24} {rows[-1]['rows_per_second']:12,.0f} rows/s {1000 * median:8.1f} ms  "
            f"{shown} of Keras' Adam, {state / 2**20:6.1f} MiB of state",
            flush=True,
        )
    if args.save:
        shapes = {"users": USERS, "items": ITEMS, "width": WIDTH, "batch": BATCH}
        save("embeddings", {"shapes": shapes, "rows": rows})


if __name__ == "__main__":
    main()
