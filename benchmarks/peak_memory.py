"""The peak memory of a process with an optimizer, divided by what it must hold.

Run with `python -m benchmarks.peak_memory`. Each contestant takes steps in its own process. The
divisor is the size of weights, gradients and AdamW's two slots. Linux only.
"""

import argparse
import os
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.machine import save

SHAPES = [(2048, 2048)] * 16
HELD = 4 * 4 * 16 * 2048 * 2048  # bytes: float32 weights, gradients and two slots
OPTIONS = {"plain": {}, "clipping": {"global_clipnorm": 1.0}}


def resident(field):
    """A memory figure of this process in bytes: `VmRSS` is current, `VmHWM` the peak."""
    with open("/proc/self/status", encoding="utf-8") as lines:
        return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


def measure(who, mode, variant):
    """Takes three steps in this process and prints the peak divided by `HELD`."""
    import keras

    import keras_gdx
    from benchmarks.rivals import of_keras, tensors

    rule = keras_gdx.optimizers.AdamW if who == "ours" else keras.optimizers.AdamW
    of_keras(rule, 1e-3, *tensors([(2, 2)]), jit=mode == "XLA")()  # loads libraries
    before = resident("VmRSS")
    step = of_keras(rule, 1e-3, *tensors(SHAPES), jit=mode == "XLA", **OPTIONS[variant])
    with open("/proc/self/clear_refs", "w", encoding="utf-8") as peak:
        peak.write("5")  # resets the peak after the arrays are made
    for _ in range(3):
        step()
    print((resident("VmHWM") - before) / HELD)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--save", action="store_true", help="write benchmarks/results")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        measure(*args.one)
        return
    rows = []
    for variant in OPTIONS:
        for mode in ("graph", "XLA"):
            for who in ("Keras", "ours"):
                command = [sys.executable, "-m", "benchmarks.peak_memory", "--one"]
                found = subprocess.check_output(
                    [*command, who, mode, variant], stderr=subprocess.DEVNULL
                )
                rows.append({"who": who, "mode": mode, "variant": variant, "peak": float(found)})
                print(f"{variant:10}{mode:7}{who:7}{float(found):6.2f} x what it holds", flush=True)
    if args.save:
        save("peak_memory", {"rows": rows})


if __name__ == "__main__":
    main()
