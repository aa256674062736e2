"""The processor time until the first step is done: of very many variables, and of ResNet-50.

Run with `python -m benchmarks.compile_time`. Each contestant has a process of its own. Times are
seconds of all its cores, since it started. "Floor" is a step that only reads and writes each
variable. Variables are built by Keras for all contestants.
"""

import argparse
import os
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.machine import save

SHAPES = [(1000,)] * 3000 + [(300, 300)] * 100
CASES = {"3,100 variables": ("ours", "Keras", "floor"), "ResNet-50": ("ours", "Keras")}


def optimizer_of(who):
    import keras

    import keras_gdx

    return {"ours": keras_gdx.optimizers.AdamW, "Keras": keras.optimizers.AdamW}[who](1e-3)


def many_variables(who, jit):
    """A function that takes one step of very many variables."""
    import keras
    import tensorflow as tf

    variables = [keras.Variable(tf.zeros(shape)) for shape in SHAPES]
    gradients = [tf.TensorSpec(shape) for shape in SHAPES]
    values = [tf.ones(shape) for shape in SHAPES]

    def step(*gradients):
        if who == "floor":
            for variable, gradient in zip(variables, gradients, strict=True):
                variable.assign(variable.value + gradient)
        else:
            optimizer.apply(gradients, variables)

    yield
    if who != "floor":
        optimizer = optimizer_of(who)
        optimizer.build(variables)
    step = tf.function(step, gradients, jit_compile=jit, autograph=False)
    step(*values)
    yield


def resnet(who, jit):
    import keras
    import numpy as np

    model = keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=10)
    yield
    model.compile(optimizer_of(who), "sparse_categorical_crossentropy", jit_compile=jit)
    model.fit(np.zeros((2, 64, 64, 3)), np.zeros(2), verbose=0)
    yield


def measure(case, who, mode):
    """Takes the first step in this process and prints two times, before and after it."""
    for _ in (resnet if case == "ResNet-50" else many_variables)(who, mode == "XLA"):
        print(time.process_time(), end=" ")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--save", action="store_true", help="write benchmarks/results")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        measure(*args.one)
        return
    rows = []
    for case, contestants in CASES.items():
        for mode in ("graph", "XLA"):
            for who in contestants:
                command = [sys.executable, "-m", "benchmarks.compile_time", "--one"]
                found = subprocess.check_output(
                    [*command, case, who, mode], stderr=subprocess.DEVNULL
                )
                before, after = map(float, found.split())
                print(
                    f"{case:17}{mode:6}{who:6} first step {after - before:6.1f} s of processor "
                    f"time, {after:6.1f} s since the process started",
                    flush=True,
                )
                what = {"case": case, "mode": mode, "who": who}
                rows.append({**what, "first_step": after - before, "from_start": after})
    if args.save:
        save("compile_time", {"rows": rows})


if __name__ == "__main__":
    main()
