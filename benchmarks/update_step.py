"""One optimizer step, ours against Keras' rule of the same name.

Run with `python -m benchmarks.update_step`. Prints the ratio of times (below 1: ours is
faster) as median and quartiles of interleaved rounds, for a step that XLA compiles and for
one that it does not.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import keras_gdx
from benchmarks.pairs import ratio

CASES = {
    "15M in 50 variables": [(550, 550)] * 50,
    "0.6M in 300 variables": [(2000,)] * 300,
    "one matrix of 16M": [(4096, 4096)],
}
PAIRS = {
    "AdamW": (keras.optimizers.AdamW, keras_gdx.optimizers.AdamW, {}),
    "AdamW, clipped": (
        keras.optimizers.AdamW,
        keras_gdx.optimizers.AdamW,
        {"global_clipnorm": 1.0},
    ),
    "SGD, momentum": (keras.optimizers.SGD, keras_gdx.optimizers.SGD, {"momentum": 0.9}),
}


def step(cls, shapes, options, jit):
    """A function that takes one step."""
    rng = np.random.default_rng(0)
    variables = [keras.Variable(rng.normal(size=s).astype("float32")) for s in shapes]
    gradients = [tf.constant(rng.normal(size=s).astype("float32")) for s in shapes]
    optimizer = cls(1e-3, **options)
    optimizer.build(variables)
    return tf.function(lambda: optimizer.apply(gradients, variables), jit_compile=jit)


def embedding_step(cls, options, rows=1_000_000, width=64, batch=2048):
    """A step that names a few rows of a large table."""
    table = keras.Variable(np.zeros((rows, width), "float32"), name="embeddings")
    rng = np.random.default_rng(0)
    gradient = tf.IndexedSlices(
        tf.constant(rng.normal(size=(batch, width)).astype("float32")),
        tf.constant(rng.integers(0, rows, batch)),
        tf.constant([rows, width]),
    )
    optimizer = cls(1e-3, **options)
    optimizer.build([table])
    return tf.function(lambda: optimizer.apply([gradient], [table]))


def report(name, case, mode, ours, theirs, rounds=15):
    median, low, high = ratio(ours, theirs, rounds)
    print(f"{name:16} {case:24} {mode:6} {median:7.3f}  [{low:.3f}, {high:.3f}]", flush=True)


def main():
    print(f"{'rule':16} {'case':24} {'mode':6}  ours / Keras, median [quartiles]")
    for case, shapes in CASES.items():
        for name, (theirs, ours, options) in PAIRS.items():
            for jit in (False, True):
                steps = [step(cls, shapes, options, jit) for cls in (ours, theirs)]
                report(name, case, "XLA" if jit else "graph", *steps)
    lazy = embedding_step(keras_gdx.optimizers.Adam, {"sparse": "lazy"})
    dense = embedding_step(keras.optimizers.Adam, {})
    report("Adam, lazy", "1M x 64, 2,048 rows", "graph", lazy, dense, rounds=5)


if __name__ == "__main__":
    main()
