"""Reads the configuration of Keras' optimizers, where ours take the same steps."""

from collections.abc import Iterator
from typing import Any

import keras

from keras_gdx.arguments import check
from keras_gdx.schedules import KerasEpsilon

READABLE = ("SGD", "Adam", "AdamW", "Adagrad", "Adadelta", "RMSprop", "Ftrl", "Lion", "Lamb")
OUR_NAMES = {"l1_regularization_strength": "l1", "l2_regularization_strength": "l2"}
SHRINKAGE = "l2_shrinkage_regularization_strength"  # an argument of `Ftrl` that ours lacks


def read(optimizer: keras.optimizers.Optimizer | str) -> tuple[str, dict[str, Any]]:
    """The name of our rule that takes the steps of one of Keras' optimizers, and its arguments."""
    theirs = keras.optimizers.get(optimizer)
    name = type(theirs).__name__
    own = name in READABLE and type(theirs) is getattr(keras.optimizers, name)
    check(own, "optimizer", name, f"one of Keras' {', '.join(READABLE)}")
    arguments = {OUR_NAMES.get(key, key): x for key, x in theirs.get_config().items()}
    if isinstance(arguments["learning_rate"], dict):  # a schedule or a function
        restore = keras.saving.deserialize_keras_object
        arguments["learning_rate"] = restore(arguments["learning_rate"])
    for reason in _differences(theirs, name, arguments):
        check(False, "optimizer", name, f"without {reason}")
    arguments.pop(SHRINKAGE, None)
    if name in ("Adam", "AdamW"):
        arguments["epsilon"] = KerasEpsilon(arguments["epsilon"], arguments["beta_2"])
    return name.lower(), arguments


def _differences(theirs: Any, name: str, arguments: dict[str, Any]) -> Iterator[str]:
    """What makes the steps of Keras' optimizer differ from ours."""
    constant = isinstance(arguments["learning_rate"], (int, float))
    if arguments.get("momentum") and not constant:
        yield "a schedule beside `momentum`, which has old rates in it"
    if arguments.get("amsgrad"):
        yield "`amsgrad`, whose maximum is taken before the bias correction"
    if arguments["weight_decay"] and name in ("Ftrl", "Lamb"):
        yield "`weight_decay`, which acts otherwise"
    if arguments.get(SHRINKAGE):
        yield f"`{SHRINKAGE}`, for which an `L2` regularizer stands here"
    if _exempts(theirs):
        yield "`exclude_from_weight_decay`; call it again, on the new optimizer"
    if arguments["gradient_accumulation_steps"] and (arguments["use_ema"] or not constant):
        yield "averages or a schedule beside accumulation, where they count batches"


def _exempts(optimizer: Any) -> bool:
    """Whether `exclude_from_weight_decay` has been called with something, which is not saved."""
    names = "_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"
    return any(getattr(optimizer, name, None) for name in names)
