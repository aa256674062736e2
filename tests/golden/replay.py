"""Runs our optimizers with given gradients."""

import keras

from keras_gdx import optimizers  # noqa: F401 - fills the registry
from keras_gdx.registry import REGISTRY


def build(rule, kwargs):
    """Makes an optimizer; arguments that are or contain rules are dictionaries."""

    def resolved(value):
        if not isinstance(value, dict):
            return value
        if "rule" in value:
            return build(value["rule"], value["kwargs"])
        return {key: resolved(x) for key, x in value.items()}

    return REGISTRY[rule.lower()].cls(**{name: resolved(x) for name, x in kwargs.items()})


def make_variables(weights, dtype="float32"):
    """One variable for each named array."""
    return [keras.Variable(w, dtype=dtype, name=name) for name, w in weights.items()]


def replay(optimizer, variables, gradients):
    """Yields the values of the variables after each step."""
    optimizer.build(variables)

    def apply(step):
        optimizer.apply(step, variables)

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        apply = tf.function(apply)
    for step in gradients:
        apply(
            [keras.ops.convert_to_tensor(g, v.dtype) for g, v in zip(step, variables, strict=True)]
        )
        yield [v.numpy() for v in variables]
