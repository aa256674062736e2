"""AdamW with its state in 32, 16 or 8 bits: the losses it reaches, and the cost of a step.

Run with `python -m benchmarks.low_precision`. Images: a small convolutional network on handwritten
digits. Text: a small transformer that predicts the next character of Python's documentation, which
every Python installation has in `pydoc_data`. All runs start from the same weights and use the same
batches; losses are measured on held-out data.
"""

import argparse
import os
import statistics
from itertools import product

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

import keras_gdx
from benchmarks.machine import save
from benchmarks.pairs import ratio, times
from benchmarks.rivals import of_keras, tensors

STATES = ("float32", "bfloat16", "int8")
SHAPES = ((512, 592), (550, 550))  # the second is no multiple of the length of a vector or block
LENGTH = 64  # characters of context


def images():
    """Data, model and length of the image run."""
    from keras_gdx.datasets import load

    data = load("mnist5k")
    x, y = data.train
    net = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Rescaling(1 / 255),
            *(
                layer
                for filters in (32, 64)
                for layer in (layers.Conv2D(filters, 3, activation="relu"), layers.MaxPooling2D())
            ),
            layers.Flatten(),
            layers.Dense(128, "relu"),
            layers.Dropout(0.3),
            layers.Dense(10),
        ]
    )
    return net, (x, y), data.test, 10


def text(samples=16_000):
    """Data, model and length of the text run."""
    from pydoc_data.topics import topics

    raw = "\n".join(topics[name] for name in sorted(topics)).encode("ascii", "replace")
    codes = np.minimum(np.frombuffer(raw, "uint8"), 127)
    rng = np.random.default_rng(0)
    border = len(codes) * 9 // 10
    starts = (
        rng.integers(0, border - LENGTH - 1, samples),
        rng.integers(border, len(codes) - LENGTH - 1, 2000),
    )
    parts = [np.stack([codes[s : s + LENGTH + 1] for s in part]).astype("int32") for part in starts]
    width = 96
    inputs = keras.Input((LENGTH,), dtype="int32")
    positions = layers.Embedding(LENGTH, width)(keras.ops.arange(LENGTH)[None])
    x = layers.Embedding(128, width)(inputs) + positions
    for _ in range(2):
        normed = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(4, width // 4)(normed, normed, use_causal_mask=True)
        hidden = layers.Dense(4 * width, "gelu")(layers.LayerNormalization()(x))
        x = x + layers.Dense(width)(hidden)
    net = keras.Model(inputs, layers.Dense(128)(layers.LayerNormalization()(x)))
    (x, y), (vx, vy) = [(p[:, :-1], p[:, 1:]) for p in parts]
    return net, (x, y), (vx, vy), 2


def train(task, state, seed, rate):
    keras.utils.set_random_seed(seed)
    net, data, held_out, epochs = task()
    optimizer = keras_gdx.create("adamw", model=net, learning_rate=rate, state_dtype=state)
    net.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    net.fit(*data, epochs=epochs, batch_size=64, verbose=0)
    return net.evaluate(*held_out, batch_size=500, verbose=0)


def losses(seeds):
    """The loss with each kind of state, divided by that of float32, for each seed."""
    rows = []
    for name, task, rate in (("images", images, 1e-3), ("text", text, 2e-3)):
        found = {s: [train(task, s, seed, rate) for seed in range(seeds)] for s in STATES}
        mean = statistics.mean(found["float32"])
        for state, values in found.items():
            row = {
                "task": name,
                "state": state,
                "loss": statistics.mean(values),
                "seeds": values,
                "to_float32": statistics.mean(values) / mean,
            }
            shown = ", ".join(f"{v:.4f}" for v in values)
            compared = f"{row['to_float32']:.3f} x float32"
            print(f"{name:8}{state:10} loss {row['loss']:.4f} ({shown})  {compared}", flush=True)
            rows.append(row)
    return rows


def cost(rounds):
    """The time of a step of 15M weights and the bytes of state, for each kind of state."""
    net = keras.Sequential([keras.Input((1024,)), layers.Dense(1024, use_bias=False)])
    rows = []
    for shape, jit in product(SHAPES, (False, True)):
        given = tensors([shape] * 50)
        steps = {
            s: of_keras(keras_gdx.optimizers.AdamW, 1e-3, *given, jit=jit, state_dtype=s)
            for s in STATES
        }
        found = times(steps, rounds)
        for state in STATES:
            kept = keras_gdx.memory(net, "adamw", state_dtype=state).state / 1024**2
            slower = ratio(found[state], found["float32"])
            mode = "XLA" if jit else "graph"
            row = {"shape": shape, "state": state, "mode": mode, "bytes": kept}
            rows.append({**row, "to_float32": slower, "seconds": min(found[state])})
            print(
                f"{shape!s:12}{mode:6}{state:10} {kept:.2f} bytes per weight, a step "
                f"{slower[0]:.2f} [{slower[1]:.2f}, {slower[2]:.2f}] x float32",
                flush=True,
            )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results")
    args = parser.parse_args()
    result = {"cost": cost(args.rounds)}
    if args.seeds:
        result["losses"] = losses(args.seeds)
    if args.save:
        save("low_precision", result)


if __name__ == "__main__":
    main()
