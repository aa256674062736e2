"""Checks before training that all workers run the same program with the same settings."""

import functools
import hashlib
import json

import keras
import tensorflow as tf

from keras_gdx._version import __version__
from keras_gdx.engine.variables.structure import without_numbers


def facts_of(model, seed, callbacks, arguments):
    """Everything that must be equal on all workers, by name.

    Args:
        model: The model.
        seed: The global random seed.
        callbacks: The callbacks that run on all workers.
        arguments: The arguments of `fit`, by name.
    """
    layout = [[without_numbers(v.path), list(v.shape)] for v in model.variables]
    optimizer = keras.saving.serialize_keras_object(model.optimizer)
    return {
        "version": [__version__, keras.__version__, tf.__version__],
        "seed": seed,
        "model": layout,
        "optimizer": {k: v for k, v in optimizer["config"].items() if k != "name"},
        "steps_per_execution": model.steps_per_execution,
        "callbacks": [type(each).__name__ for each in callbacks],
        "arguments of fit": {
            name: _outline(value, counted=not arguments.get("steps_per_epoch"))
            for name, value in arguments.items()
            if name not in ("callbacks", "verbose")
        },
    }


def _outline(value, counted):
    """The properties of an argument that must agree; with `counted`, also its length."""
    if hasattr(value, "element_spec"):
        return repr(value.element_spec), int(value.cardinality()) if counted else None
    if hasattr(value, "shape"):
        return list(value.shape), str(value.dtype)
    if isinstance(value, keras.utils.PyDataset):
        return type(value).__name__, value.num_batches if counted else None
    if isinstance(value, (list, tuple, dict)):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        return [(str(key), _outline(part, counted)) for key, part in parts]
    return value if isinstance(value, (bool, int, float, str)) else type(value).__name__


def require_seeds(arguments):
    """Raises `ValueError` if a pipeline would be shuffled differently on every worker."""
    datasets = [arguments.get("x"), arguments.get("validation_data")]
    while datasets:
        dataset = datasets.pop()
        seeds = [getattr(dataset, "_seed", None), getattr(dataset, "_seed2", None)]
        if all(seed is not None and int(seed) == 0 for seed in seeds):
            raise ValueError(
                "A tf.data pipeline shuffles without a seed, so every worker would use another "
                "order, and examples would be skipped. Pass a seed to `shuffle`, or call "
                "keras.utils.set_random_seed before the pipeline is created."
            )
        if hasattr(dataset, "_inputs"):
            datasets += dataset._inputs()


def gather(strategy, numbers):
    """Gathers integers into an array with one row per replica; all workers must call it."""
    return _gathering(strategy)(tf.constant(numbers, "int64")).numpy()


@functools.cache
def _gathering(strategy):
    @tf.function(autograph=False)
    def gathered(numbers):
        def in_replica():
            return tf.distribute.get_replica_context().all_gather(numbers[None], axis=0)

        return strategy.experimental_local_results(strategy.run(in_replica))[0]

    return gathered


def require(strategy, facts):
    """Raises `ValueError` on every worker if a fact differs between any two of them."""
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
