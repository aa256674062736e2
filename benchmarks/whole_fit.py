"""Steps per second of a whole `fit`: our optimizer and three idle callbacks beside Keras' own.

Run with `python -m benchmarks.whole_fit`. Keras' `AdamW` trains with three of Keras' callbacks that
have nothing to do on a batch, ours with three of ours that check on every batch whether they have.
The data are the same batches over and over, so reading them costs nothing. On two replicas, ours is
prepared, which makes uneven batches count as on one device; Keras' is not.

A second table has the seconds that an epoch costs besides its steps, by the kind of data, and a
third the time of a step with callbacks that prune, before they do so, over that without.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from benchmarks.machine import save
from benchmarks.pairs import ratio, times
from keras_gdx import callbacks, distribute, optimizers

NEVER = 10**9
REPLICAS = 2
MODELS = {  # width and depth of the dense layers, batch size, steps of one `fit`
    "small: 1,100 weights": (16, 4, 32, 1000),
    "large: 4.3M weights": (1024, 4, 32, 150),
}


def idle_of_keras(data):
    """Callbacks of Keras without anything to do on a batch."""
    return [
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.EarlyStopping("loss", patience=NEVER),
        keras.callbacks.ReduceLROnPlateau("loss", patience=NEVER),
    ]


def idle_of_ours(data):
    """Callbacks of ours that act after more batches than there are."""
    return [
        callbacks.StepEvaluator(data, every=NEVER),
        callbacks.PlateauController("loss", every=NEVER),
        callbacks.TimeBudget("100h"),
    ]


SIDES = {
    "ours": (optimizers.AdamW, idle_of_ours),
    "Keras": (keras.optimizers.AdamW, idle_of_keras),
}


PRUNING = {
    "without": lambda data: [],
    "MagnitudePruning": lambda data: [callbacks.MagnitudePruning(begin=NEVER, end=NEVER + 1)],
    "DynamicSurgery": lambda data: [callbacks.DynamicSurgery(begin=NEVER, end=NEVER + 1)],
}


def fit_of(side, size, replicas=False, per_execution=1):
    """A function that trains for a number of steps."""
    width, depth, batch, steps = size
    make, idle = SIDES[side] if side in SIDES else (optimizers.AdamW, PRUNING[side])
    strategy = distribute.strategy(replicas=REPLICAS if replicas else 1)
    keras.utils.set_random_seed(0)
    with strategy.scope():
        layers = [keras.layers.Dense(width, activation="relu") for _ in range(depth)]
        model = keras.Sequential([keras.Input((width,)), *layers])
        model.compile(make(1e-3), "mse", steps_per_execution=per_execution, jit_compile=False)
    if replicas and side == "ours":
        distribute.prepare(model)
    example = np.random.default_rng(0).normal(size=(batch, width)).astype("float32")
    data = tf.data.Dataset.from_tensors((example, example)).repeat()
    listed = idle((example, example))
    options = {"steps_per_epoch": steps, "verbose": 0, "shuffle": False, "callbacks": listed}
    return lambda: model.fit(data, **options)


def compared(rounds):
    """Rows of steps per second, ours and Keras', and the ratio of their times."""
    for name, size in MODELS.items():
        # Keras cannot execute several steps at once on replicas.
        for replicas, per_execution in ((False, 1), (False, 10), (True, 1)):
            fits = {side: fit_of(side, size, replicas, per_execution) for side in SIDES}
            found = times(fits, rounds, repeat=1)
            steps = size[-1]
            rates = {f"{side}_per_second": steps / min(found[side]) for side in SIDES}
            yield {
                "model": name,
                "replicas": REPLICAS if replicas else 1,
                "steps_per_execution": per_execution,
                **rates,
                "ratio": ratio(found["ours"], found["Keras"]),
            }


def epochs(rounds, steps=4):
    """Rows of milliseconds of an epoch of a few steps, by the kind of data."""
    x = np.random.default_rng(0).normal(size=(32 * steps, 16)).astype("float32")
    kinds = {
        "arrays": {"x": x, "y": x, "batch_size": 32},
        "tf.data": {"x": tf.data.Dataset.from_tensor_slices((x, x)).batch(32)},
    }
    for kind, data in kinds.items():
        for side, (make, _) in SIDES.items():
            model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(16)])
            model.compile(make(1e-3), "mse")
            options = {"epochs": 20, "verbose": 0, "shuffle": False}
            model.fit(**data, **options)
            taken = []
            for _ in range(rounds):
                start = time.perf_counter()
                model.fit(**data, **options)
                taken.append((time.perf_counter() - start) / options["epochs"])
            yield {"data": kind, "optimizer": side, "milliseconds": 1e3 * min(taken)}


def pruned(rounds):
    """Rows of the time of a step of the larger model, by what prunes it."""
    *_, size = MODELS.values()
    found = times({name: fit_of(name, size) for name in PRUNING}, rounds, repeat=1)
    for name, taken in found.items():
        fastest = min(taken) / min(found["without"])
        yield {"callback": name, "fastest": fastest, "ratio": ratio(taken, found["without"])}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results")
    args = parser.parse_args()
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * REPLICAS
    )
    rows, short, masks = [], [], []
    for row in compared(args.rounds):
        median, low, high = row["ratio"]
        print(
            f"{row['model']:22}{row['replicas']} replicas, {row['steps_per_execution']:2} at once: "
            f"{row['ours_per_second']:8.1f} steps a second, Keras {row['Keras_per_second']:8.1f}, "
            f"ratio of times {median:.2f} [{low:.2f}, {high:.2f}]",
            flush=True,
        )
        rows.append(row)
    for row in epochs(args.rounds):
        print("{data:8} {optimizer:6}{milliseconds:7.1f} ms for an epoch of 4 steps".format(**row))
        short.append(row)
    for row in pruned(args.rounds):
        median, low, high = row["ratio"]
        print(
            f"{row['callback']:18} step over one without: {row['fastest']:.2f} of the fastest, "
            f"{median:.2f} [{low:.2f}, {high:.2f}]"
        )
        masks.append(row)
    if args.save:
        save("whole_fit", {"rows": rows, "epochs": short, "pruning": masks})


if __name__ == "__main__":
    main()
