"""The time to write and read the optimizer state of a model with very many variables.

Run with `python -m benchmarks.state_files`: 3,000 small variables and 100 large ones.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_gdx
from benchmarks.compile_time import SHAPES
from benchmarks.machine import save


def main():
    variables = [keras.Variable(np.ones(s, "float32"), name=f"w{i}") for i, s in enumerate(SHAPES)]
    rivals = {"ours": keras_gdx.optimizers.AdamW(1e-3), "Keras": keras.optimizers.AdamW(1e-3)}
    for optimizer in rivals.values():
        optimizer.build(variables)
    taken = {who: {"write": [], "read": []} for who in rivals}
    for _ in range(5):
        for who, optimizer in rivals.items():
            store = {}
            for what, act in (
                ("write", optimizer.save_own_variables),
                ("read", optimizer.load_own_variables),
            ):
                start = time.perf_counter()
                act(store)
                taken[who][what].append(time.perf_counter() - start)
    rows = []
    for what in ("write", "read"):
        seconds = {who: float(np.median(taken[who][what])) for who in rivals}
        ratio = seconds["ours"] / seconds["Keras"]
        print(
            f"{what:6}ours {seconds['ours']:6.2f} s, Keras {seconds['Keras']:6.2f} s: {ratio:.2f}"
        )
        rows.append({"what": what, **seconds, "ratio": ratio})
    save("state_files", {"rows": rows})


if __name__ == "__main__":
    main()
