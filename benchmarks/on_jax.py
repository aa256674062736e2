"""A step of our rules on Keras' JAX backend, beside optax's: time and memory, on a GPU if any.

Run with `python -m benchmarks.on_jax` on a machine with JAX and optax: 125M weights, as in GPT-2.
`--blocks 1 --width 64` is a quick trial on a CPU. Both are compiled by `jax.jit` with donated
weights and state and timed in turn. Memory is what XLA reports for the compiled step: arguments
and temporary memory.
"""

import argparse
import os

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
import numpy as np
import optax

import keras_gdx
from benchmarks.machine import save
from benchmarks.pairs import ratio, times

RULES = {
    "AdamW": ("adamw", {"weight_decay": 0.1}, optax.adamw(1e-3, weight_decay=0.1)),
    "AdamW, clipping": (
        "adamw",
        {"weight_decay": 0.1, "global_clipnorm": 1.0},
        optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3, weight_decay=0.1)),
    ),
    "Lion": ("lion", {"weight_decay": 0.1}, optax.lion(1e-3, weight_decay=0.1)),
    "SGD, momentum": ("sgd", {"momentum": 0.9}, optax.sgd(1e-3, momentum=0.9)),
    "Adafactor": ("adafactor", {}, optax.adafactor(1e-3)),
}


def shapes_of(blocks, width):
    """The shapes of the weights of a transformer."""
    vectors = [(width,)] * 6 + [(3 * width,), (4 * width,)]
    block = [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width), *vectors]
    return [(65 * width, width), (1024, width), *block * blocks]


def of_optax(rule, weights):
    def step(weights, state, gradients):
        updates, state = rule.update(gradients, state, weights)
        return optax.apply_updates(weights, updates), state

    return step, [weights, rule.init(weights)]


def of_ours(name, options, weights):
    variables = [keras.Variable(w) for w in weights]
    optimizer = keras_gdx.create(name, learning_rate=1e-3, **options)
    optimizer.build(variables)

    def step(weights, state, gradients):
        return optimizer.stateless_apply(state, gradients, weights)

    values = [[jax.numpy.copy(v.value) for v in each] for each in (variables, optimizer.variables)]
    for variable in (*variables, *optimizer.variables):
        variable.value.delete()  # the step has its own arrays
    return step, values


def compiled(step, held, gradients):
    """A function that takes a step, and the bytes that it needs."""
    program = jax.jit(step, donate_argnums=(0, 1)).lower(*held, gradients).compile()
    analysis = program.memory_analysis()

    def run():
        held[:] = program(*held, gradients)
        jax.block_until_ready(held)

    return run, analysis.argument_size_in_bytes + analysis.temp_size_in_bytes


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results")
    args = parser.parse_args()
    random = np.random.default_rng(0)
    shapes = shapes_of(args.blocks, args.width)
    weights = [random.normal(size=shape).astype("float32") for shape in shapes]
    gradients = [jax.numpy.asarray(random.normal(size=s), "float32") for s in shapes]
    device = jax.devices()[0].device_kind
    size = sum(w.size for w in weights)
    print(f"{size / 1e6:.1f}M weights on {device}")
    rows = []
    for case, (name, options, rule) in RULES.items():
        ours, bytes_of_ours = compiled(*of_ours(name, options, weights), gradients)
        theirs = of_optax(rule, [jax.numpy.asarray(w) for w in weights])
        theirs, bytes_of_theirs = compiled(*theirs, gradients)
        found = times({"ours": ours, "optax": theirs})
        row = {
            "rule": case,
            "milliseconds": {who: 1000 * float(np.median(x)) for who, x in found.items()},
            "to_optax": ratio(found["ours"], found["optax"]),
            "bytes": {"ours": bytes_of_ours, "optax": bytes_of_theirs},
        }
        rows.append(row)
        median, low, high = row["to_optax"]
        print(
            f"{case:17} time {median:5.2f} [{low:.2f}, {high:.2f}] of optax's "
            f"{row['milliseconds']['optax']:.2f} ms, memory {bytes_of_ours / 2**20:.1f} MiB "
            f"against {bytes_of_theirs / 2**20:.1f} MiB",
            flush=True,
        )
    if args.save:
        save("on_jax", {"device": device, "weights": size, "rows": rows})


if __name__ == "__main__":
    main()
