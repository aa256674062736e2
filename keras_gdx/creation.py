"""Creates an optimizer by name, with defaults that fit a model."""

from collections.abc import Mapping
from inspect import signature
from typing import Any

import keras

from keras_gdx.arguments import LearningRate, NonNegative, check, check_built, check_type
from keras_gdx.engine.variables.layer_groups import Share
from keras_gdx.engine.variables.layer_groups import layer_decay as multipliers
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.partition import Partition
from keras_gdx.optimizers.parts import WHOLE
from keras_gdx.recipes import find
from keras_gdx.registry import look_up


def create(
    name: str,
    model: keras.Model | None = None,
    *,
    learning_rate: LearningRate | None = None,
    weight_decay: NonNegative | None = None,
    layer_decay: Share | None = None,
    rules: Mapping[str, Optimizer | str] | None = None,
    preset: str | None = None,
    **arguments: Any,
) -> Optimizer:
    """Returns an optimizer by name, with defaults that fit a model's structure.

    Vectors, normalization weights and embeddings are exempt from weight decay
    (`no_decay="auto"`). Rules for matrices learn from the model which variables are matrices,
    also in a custom training loop without `compile`.

    Args:
        name: A short name from `keras_gdx.list(kind="optimizer")`.
        model: The built model to train. Needed for `layer_decay`.
        learning_rate: Number or schedule; the rule's default if `None`.
        weight_decay: Number or schedule; the rule's default if `None`.
        layer_decay: Number in (0, 1]: the learning rate of each block as a fraction of that
            of the block after it; see `keras_gdx.layer_decay`, and `keras_gdx.layer_groups` for
            the definition of a block.
        rules: Other rules for some of the variables, by patterns of their paths; see
            `keras_gdx.optimizers.Partition`, whose `default` is the rule of this name then.
        preset: Settings of a published recipe, one of `keras_gdx.presets(name)`. Arguments given
            here replace its own; a number as `learning_rate` is the peak of its schedule.
        **arguments: Any other argument of the rule.

    Raises:
        ValueError: If there is no such rule, or an argument is out of its range.

    Example:
        >>> import keras, keras_gdx
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> optimizer = keras_gdx.create("adamw", model=model, weight_decay=0.1)
        >>> optimizer.no_decay
        'auto'
        >>> optimizer = keras_gdx.create("adamw", model, preset="convnext")
        >>> optimizer.weight_decay
        0.05
    """
    fits = model is None or isinstance(model, keras.Model)
    allowed = "a Keras model, or None (a rate is given as `learning_rate`)"
    advice = "" if fits else f" Write create({name!r}, learning_rate={model!r})."
    check(fits, "model", model, allowed, advice=advice)
    check_type("layer_decay", layer_decay, Share | None)
    entry = look_up(name, "optimizer")
    if preset is not None:
        recipe = find(entry.name, preset)
        learning_rate = recipe.rate(learning_rate)
        arguments = {**recipe.arguments, **arguments}
    given = {"learning_rate": learning_rate, "weight_decay": weight_decay}
    arguments |= {k: v for k, v in given.items() if v is not None}
    if layer_decay is not None:
        check(model is not None, "model", model, "given for `layer_decay`")
        check_built(model)
        own = arguments.get("lr_multipliers") or {}
        arguments["lr_multipliers"] = {**own, **multipliers(model, layer_decay)}
    wraps = hasattr(entry.cls, "default_inner")
    check(rules is None or not wraps, "rules", rules, f"given to `inner` of {entry.cls.__name__}")
    if wraps:
        optimizer = _wrapped(entry.cls, model, arguments)
    else:
        arguments = {"no_decay": "auto", **arguments}
        optimizer = (
            entry.cls(**arguments) if rules is None else _parted(entry.cls, rules, arguments)
        )
    if model is not None:
        optimizer.attach(model)
    return optimizer


def _parted(cls: Any, rules: Any, arguments: dict[str, Any]) -> Optimizer:
    """A partition whose default is of this class; options of the whole go to the partition."""
    whole = {name: arguments.pop(name) for name in WHOLE if name in arguments}
    return Partition(rules, default=cls(**arguments), **whole)


def _wrapped(cls: Any, model: keras.Model | None, arguments: dict[str, Any]) -> Optimizer:
    """A wrapper around an optimizer, which gets all arguments except the wrapper's own."""
    own = {n: arguments.pop(n) for n in signature(cls).parameters if n in arguments}
    inner = own.pop("inner", cls.default_inner)
    if isinstance(inner, str):
        inner = create(inner, model, **arguments)
    elif arguments:
        raise ValueError(
            f"Give {', '.join(arguments)} to `inner`, or name it by a string. "
            f"Received: inner={inner!r}"
        )
    return cls(inner, **own)
