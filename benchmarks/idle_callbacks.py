"""The cost of a callback on batches where it has nothing to do.

Run with `python -m benchmarks.idle_callbacks`. A convolutional network is trained on digits once
with each callback. The result is the time inside the callback's batch hooks, divided by the time
of the step. `an empty one` is a Keras callback with a hook that does nothing. Callbacks without
batch hooks are not called at all, as `tests/callbacks/test_callback_contract.py` checks.
"""

import argparse
import os
import statistics
import tempfile
import time
from itertools import pairwise

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from benchmarks.low_precision import images
from benchmarks.machine import save
from keras_gdx import callbacks
from keras_gdx.optimizers import AdamW

NEVER = 10**9
FIRST = 5  # batches of compilation and allocation, not timed
HOOKS = ("on_train_batch_begin", "on_train_batch_end")


class Empty(keras.callbacks.Callback):
    """A callback with one batch hook."""

    def on_train_batch_end(self, batch, logs=None):
        """Does nothing."""


def contestants(data):
    """Every callback with batch hooks, with arguments that leave it idle in this run."""
    few = tuple(part[:64] for part in data)
    return {
        "an empty one": Empty,
        "DynamicSurgery": lambda: callbacks.DynamicSurgery(begin=NEVER, end=NEVER + 1),
        "EnergyBudget": lambda: callbacks.EnergyBudget("1000 kWh", every=NEVER),
        "FaultGuard": lambda: callbacks.FaultGuard(every=NEVER),
        "GradientMonitor": lambda: callbacks.GradientMonitor(few, every=NEVER),
        "MagnitudePruning": lambda: callbacks.MagnitudePruning(begin=NEVER, end=NEVER + 1),
        "PlateauController, every=N": lambda: callbacks.PlateauController("loss", every=NEVER),
        "ResumableCheckpoint, steps": lambda: checkpoint(f"{NEVER} steps"),
        "ResumableCheckpoint, time": lambda: checkpoint("100 hours"),
        "SharpnessMonitor": lambda: callbacks.SharpnessMonitor(few, every=NEVER),
        "StepEvaluator": lambda: callbacks.StepEvaluator(few, every=NEVER),
        "TensorBoardScalars": lambda: callbacks.TensorBoardScalars(tempfile.mkdtemp()),
        "ThroughputMonitor": callbacks.ThroughputMonitor,
        "TimeBudget": lambda: callbacks.TimeBudget("100h"),
        "WeightAverager, every=N": lambda: callbacks.WeightAverager(every=NEVER),
    }


def checkpoint(every):
    return callbacks.ResumableCheckpoint(tempfile.mkdtemp(), every=every)


def seconds(model, data, callback, batch_size, batches):
    """Seconds inside the callback's hooks and seconds of steps, without the first batches."""
    inside, ends = [0.0], []

    def timed(hook):
        def wrapped(batch, logs=None):
            start = time.perf_counter()
            hook(batch, logs)
            inside[-1] += time.perf_counter() - start

        return wrapped

    for name in HOOKS:
        setattr(callback, name, timed(getattr(callback, name)))
    clock = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: (ends.append(time.perf_counter()), inside.append(0))
    )
    x, y = (part[: batch_size * batches] for part in data)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(AdamW(1e-3), loss)
    model.fit(x, y, batch_size, verbose=0, callbacks=[callback, clock])
    steps = [b - a for a, b in pairwise(ends)]
    return inside[1 + FIRST : -1], steps[FIRST:]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--batches", type=int, default=60)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results")
    args = parser.parse_args()
    model, data, _, _ = images()
    hooks, steps = {}, {}
    for _ in range(args.rounds):
        for name, make in contestants(data).items():
            found = seconds(model, data, make(), args.batch_size, args.batches)
            for all_of, new in zip((hooks, steps), found, strict=True):
                all_of.setdefault(name, []).extend(new)
    rows = []
    for name in hooks:
        row = {
            "callback": name,
            "microseconds": 1e6 * statistics.median(hooks[name]),
            "of_the_step": statistics.median(hooks[name]) / statistics.median(steps[name]),
            "step_milliseconds": 1e3 * statistics.median(steps[name]),
        }
        print(
            f"{name:28}{row['microseconds']:8.1f} microseconds, {row['of_the_step']:.3%} of "
            f"{row['step_milliseconds']:.1f} ms",
            flush=True,
        )
        rows.append(row)
    if args.save:
        save("idle_callbacks", {"batch_size": args.batch_size, "rows": rows})


if __name__ == "__main__":
    main()
