"""Workers that train together must be alike: what differs is found out before they do."""

import hashlib
import json
import re

import keras
import tensorflow as tf

from keras_gdx._version import __version__


def facts_of(model, seed, callbacks):
    """What must be equal on all workers, by name."""
    layout = [[re.sub(r"_\d+(?=[/_]|$)", "", v.path), list(v.shape)] for v in model.variables]
    optimizer = keras.saving.serialize_keras_object(model.optimizer)
    return {
        "version": [__version__, keras.__version__, tf.__version__],
        "seed": seed,
        "model": layout,
        "optimizer": {k: v for k, v in optimizer["config"].items() if k != "name"},
        "steps_per_execution": model.steps_per_execution,
        "callbacks": [type(each).__name__ for each in callbacks],
    }


def gather(strategy, numbers):
    """Integers of all replicas, as an array with a row for each; all workers must call it."""
    numbers = tf.constant(numbers, "int64")

    @tf.function(autograph=False)
    def together():
        def in_replica():
            return tf.distribute.get_replica_context().all_gather(numbers[None], axis=0)

        return strategy.experimental_local_results(strategy.run(in_replica))[0]

    return together().numpy()


def require(strategy, facts):
    """Raises `ValueError` on every worker if a fact differs between any two."""
    found = gather(strategy, [_sum(value) for value in facts.values()])
    unequal = [name for name, column in zip(facts, found.T, strict=True) if len({*column}) > 1]
    if unequal:
        raise ValueError(
            f"The workers differ in their {', '.join(unequal)}. This one has "
            f"{_shown(facts[unequal[0]])}. All must run the same program, with the same packages "
            "and seed."
        )


def _sum(value):
    text = json.dumps(value, sort_keys=True, default=repr)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def _shown(value):
    text = json.dumps(value, default=repr)
    return text if len(text) < 200 else f"{text[:200]} ..."
