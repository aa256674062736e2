"""Steps of the rules for matrices, compared with matrix products of as many operations.

Run with `python -m benchmarks.matrix_rules`. The weights are four kernels, so the time per step is
that of the rule's own work. Contestants take turns, and each measurement is ten steps, so that what
is computed in every tenth step is part of it. With `--save` results go to
`benchmarks/results/matrix_rules.json`.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from benchmarks.machine import save
from benchmarks.pairs import ratio, times
from benchmarks.rivals import of_keras, tensors
from keras_gdx import optimizers

SHAPES = [(256, 256), (256, 512), (512, 256), (256, 256)]
PRODUCT = 512  # side of the matrices of one product


def newton_schulz(a, b):
    small, large = min(a, b), max(a, b)
    return 5 * (4 * small**2 * large + 2 * small**3)


def kron(a, b):
    return 11 * a * b * (a + b) + 2 * (a**3 + b**3)


# Operations of an update of an (a, b) matrix, as the docstrings say: additions and multiplications
# of products, without decompositions, which are in the time.
RULES = {
    "Muon": (optimizers.Muon, newton_schulz),
    "NorMuon": (optimizers.NorMuon, newton_schulz),
    "SOAP": (optimizers.SOAP, lambda a, b: 8 * a * b * (a + b)),
    "Shampoo": (optimizers.Shampoo, lambda a, b: 4 * a * b * (a + b)),
    "Kron": (optimizers.Kron, kron),
    "Kron, every 10th": (
        lambda rate: optimizers.Kron(rate, update_probability=0.1),
        lambda a, b: 0.9 * 4 * a * b * (a + b) + 0.1 * kron(a, b),
    ),
}


def product():
    """A function that multiplies two matrices."""
    rng = np.random.default_rng(0)
    x, y = (tf.constant(rng.normal(size=(PRODUCT, PRODUCT)), "float32") for _ in range(2))
    multiply = tf.function(tf.matmul, autograph=False)
    return lambda: multiply(x, y).numpy()[0, 0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results")
    args = parser.parse_args()
    given = tensors(SHAPES)
    steps = {name: of_keras(make, 1e-3, *given) for name, (make, _) in RULES.items()}
    found = times(steps | {"product": product()}, args.rounds, repeat=10)
    rows = []
    for name, (_, operations) in RULES.items():
        products = sum(operations(*shape) for shape in SHAPES) / (2 * PRODUCT**3)
        to_products = ratio(found[name], [t * products for t in found["product"]])
        milliseconds = 1000 * float(np.median(found[name]))
        rows.append({"rule": name, "milliseconds": milliseconds, "to_products": to_products})
        print(
            f"{name:18}{milliseconds:9.1f} ms  "
            "{:.2f} [{:.2f}, {:.2f}] times as long as products".format(*to_products),
            flush=True,
        )
    if args.save:
        save("matrix_rules", {"shapes": SHAPES, "rows": rows})


if __name__ == "__main__":
    main()
