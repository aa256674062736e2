"""The time of the first step of a model with very many variables.

Run with `python -m benchmarks.compile_time`: 3,000 small variables and 100 large ones.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

import keras_gdx
from benchmarks.machine import save
from benchmarks.rivals import of_keras, tensors

SHAPES = [(1000,)] * 3000 + [(300, 300)] * 100


def main():
    rows = []
    for jit in (False, True):
        for who, cls in (("ours", keras_gdx.optimizers.AdamW), ("Keras", keras.optimizers.AdamW)):
            given = tensors(SHAPES)
            start = time.perf_counter()
            of_keras(cls, 1e-3, *given, jit=jit)()
            taken = time.perf_counter() - start
            mode = "XLA" if jit else "graph"
            print(f"{who:6}{mode:6} built and stepped in {taken:6.1f} s", flush=True)
            rows.append({"who": who, "mode": mode, "seconds": taken})
    save("compile_time", {"rows": rows})


if __name__ == "__main__":
    main()
