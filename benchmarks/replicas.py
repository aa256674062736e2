"""Where the time of a step on two replicas is spent.

Run with `python -m benchmarks.replicas`. Two logical devices of one machine hold a copy of the
weights each, so the same cores do all work twice. Compare the step with two steps of one replica
and with the all-reduce of the gradients alone.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import keras_gdx
from benchmarks.machine import save
from benchmarks.pairs import ratio, times
from benchmarks.rivals import of_keras, tensors
from benchmarks.update_step import CASES

DEVICES = ["CPU:0", "CPU:1"]


def replicated(strategy, cls, weights, gradients, **options):
    """A step on all replicas, with given gradients."""
    with strategy.scope():
        variables = [keras.Variable(w) for w in weights]
        optimizer = cls(1e-3, **options)
        optimizer.build(variables)
    gradients = [
        strategy.experimental_distribute_values_from_function(lambda _, g=g: tf.constant(g))
        for g in gradients
    ]

    @tf.function(autograph=False)
    def step():
        strategy.run(lambda *gs: optimizer.apply(list(gs), variables), args=gradients)

    return step


def reduced(strategy, gradients, packed):
    """The all-reduce alone, of each gradient or of all gradients packed into one."""
    gradients = [
        strategy.experimental_distribute_values_from_function(lambda _, g=g: tf.constant(g))
        for g in gradients
    ]

    def replica(*gs):
        gs = [tf.concat([tf.reshape(g, [-1]) for g in gs], 0)] if packed else list(gs)
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, gs)[0][0]

    return tf.function(lambda: strategy.run(replica, args=gradients), autograph=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results")
    args = parser.parse_args()
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(DEVICES)
    rows = []
    for case in ("15M in 50 variables", "0.6M in 300 variables"):
        given = tensors(CASES[case]())
        ours, theirs = keras_gdx.optimizers.AdamW, keras.optimizers.AdamW
        steps = {
            "one replica": of_keras(ours, 1e-3, *given),
            "ours": replicated(strategy, ours, *given),
            "ours, not fused": replicated(strategy, ours, *given, fused=False),
            "Keras": replicated(strategy, theirs, *given),
            "all-reduce, each": reduced(strategy, given[1], packed=False),
            "all-reduce, packed": reduced(strategy, given[1], packed=True),
        }
        found = times(steps, args.rounds)
        for name, seconds in found.items():
            row = {
                "case": case,
                "what": name,
                "milliseconds": 1000 * float(np.median(seconds)),
                "to_one_replica": ratio(seconds, found["one replica"]),
            }
            shown = "{:.2f} [{:.2f}, {:.2f}]".format(*row["to_one_replica"])
            print(f"{case:24}{name:20}{row['milliseconds']:9.2f} ms  {shown} x one replica")
            rows.append(row)
    if args.save:
        save("replicas", {"rows": rows})


if __name__ == "__main__":
    main()
