"""Reads the numbers that an optimizer works with, whatever stands for them."""

import keras

from keras_gdx.config import is_schedule

__all__ = []

WRAPPED = ("inner_optimizer", "inner")


def leaves(optimizer):
    """Returns `(suffix, optimizer)` for each optimizer that has a learning rate of its own.

    Looks into wrappers, and into `MultiOptimizer`, for which alone the suffix is not
    empty: `_` and the optimizer's name, as in Keras' own logs, numbered if two share it.
    """
    if parts := getattr(optimizer, "optimizers", None):
        names = [part.name for part in parts]
        unique = len({*names}) == len(names)
        suffixes = [f"_{name}" if unique else f"_{name}_{i}" for i, name in enumerate(names)]
        return [
            (suffix, leaf)
            for suffix, part in zip(suffixes, parts, strict=True)
            for _, leaf in leaves(part)
        ]
    for name in WRAPPED:
        if hasattr(optimizer, name):
            return leaves(getattr(optimizer, name))
    return [("", optimizer)]


def number(value, step):
    """Returns the float that a number, variable, schedule or callable stands for at `step`."""
    if is_schedule(value):
        value = value(step)
    elif callable(value):
        value = value()
    # `float` alone cannot read a variable that tf.distribute mirrors
    return float(keras.ops.convert_to_numpy(value))


def hyperparameters(optimizer, names):
    """Returns the value of each name that is in use, for the next update.

    Args:
        optimizer: Any Keras optimizer.
        names: Attributes of optimizers; those that are missing or `None` are left out,
            and so is `ema_momentum` without `use_ema`.
    """
    return {
        name + suffix: number(value, leaf.iterations)
        for suffix, leaf in leaves(optimizer)
        for name in names
        if (value := getattr(leaf, name, None)) is not None
        and (name != "ema_momentum" or getattr(leaf, "use_ema", True))
    }
