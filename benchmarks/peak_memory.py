"""The peak memory of a step, beside what `keras_gdx.memory` predicts.

Run with `python -m benchmarks.peak_memory`. Each case takes steps in its own process. Weights,
gradients and state are counted; what a step needs beside them is how far the process grows during
later steps, when everything is compiled. Linux only.
"""

import argparse
import os
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.machine import save

WIDTHS = [1024] * 16 + [3072]
CASES = {
    "AdamW of Keras": ("keras", {}),
    "AdamW": ("adamw", {}),
    "clipping": ("adamw", {"global_clipnorm": 1.0}),
    "clipping by variable": ("adamw", {"clipnorm": 1.0}),
    "moving averages": ("adamw", {"use_ema": True}),
    "4 micro-batches": ("adamw", {"gradient_accumulation_steps": 4}),
    "bfloat16 state": ("adamw", {"state_dtype": "bfloat16"}),
    "int8 state": ("adamw", {"state_dtype": "int8"}),
    "SGD, momentum": ("sgd", {"momentum": 0.9}),
    "Lion": ("lion", {}),
    "ScheduleFreeAdamW": ("schedulefreeadamw", {}),
    "Adafactor": ("adafactor", {}),
    "Muon": ("muon", {}),
    "NorMuon": ("normuon", {}),
    "SOAP": ("soap", {}),
    "Shampoo": ("shampoo", {}),
    "Kron": ("kron", {}),
    "Prodigy": ("prodigy", {}),
}
GRAPH_ONLY = ("SOAP", "Shampoo")  # XLA takes very long for decompositions on a CPU
# Freed memory leaves the process at once, so that its size is what it uses.
ALLOCATION = {
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}


def resident(field):
    """A memory figure of this process in bytes: `VmRSS` is current, `VmHWM` the peak."""
    with open("/proc/self/status", encoding="utf-8") as lines:
        return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


def measure(case, mode):
    """Prints the bytes that are held, those of a step beside them, and the predicted peak."""
    import keras
    import tensorflow as tf

    import keras_gdx

    rule, options = CASES[case]
    layers = [keras.layers.Dense(width, use_bias=False) for width in WIDTHS]
    model = keras.Sequential([keras.Input((1024,)), *layers])
    trained = model.trainable_variables
    optimizer = keras.optimizers.AdamW() if rule == "keras" else keras_gdx.create(rule, **options)
    optimizer.build(trained)
    gradients = [tf.random.normal(v.shape) for v in trained]

    @tf.function(jit_compile=mode == "XLA", autograph=False)
    def step(*gradients):
        optimizer.apply(gradients, trained)

    for _ in range(9):
        step(*gradients)
    every = [*trained, *optimizer.variables, *gradients]
    held = sum(tf.size(x).numpy() * tf.as_dtype(x.dtype).size for x in every)
    before = resident("VmRSS")
    with open("/proc/self/clear_refs", "w", encoding="utf-8") as peak:
        peak.write("5")  # resets the peak
    for _ in range(8):
        step(*gradients)
    trained[-1].value.read_value()
    predicted = 0 if rule == "keras" else keras_gdx.memory(model, optimizer).peak
    print(held, resident("VmHWM") - before, predicted)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--save", action="store_true", help="write benchmarks/results")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        measure(*args.one)
        return
    rows = []
    print(f"{'MiB':24}{'held':>8}{'peak, graph':>14}{'peak, XLA':>14}{'predicted':>14}")
    for case in CASES:
        command = [sys.executable, "-m", "benchmarks.peak_memory", "--one", case]
        found = {}
        for mode in ("graph", "XLA")[: 1 if case in GRAPH_ONLY else 2]:
            text = subprocess.check_output(
                [*command, mode], stderr=subprocess.DEVNULL, env=os.environ | ALLOCATION
            )
            held, more, predicted = (int(number) / 2**20 for number in text.split())
            found[mode] = held + more
        rows.append({"case": case, "held": held, **found, "predicted": predicted})
        in_xla = f"{found['XLA']:14.1f}" if "XLA" in found else f"{'':14}"
        numbers = f"{held:8.1f}{found['graph']:14.1f}{in_xla}{predicted:14.1f}"
        print(f"{case:24}{numbers}", flush=True)
    if args.save:
        save("peak_memory", {"rows": rows})


if __name__ == "__main__":
    main()
