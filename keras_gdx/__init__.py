"""keras_gdx: optimizers, schedules, callbacks and regularizers for Keras 3."""

import typing as _typing

try:
    import keras as _keras  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"Keras finds no backend to run on ({error}). Install one, for example: "
        "pip install 'keras_gdx[tensorflow]'  or, without GPU support, "
        "pip install 'keras_gdx[tensorflow-cpu]'."
    ) from error

from keras_gdx import (
    callbacks,
    comparison,
    constraints,
    modifiers,
    optimizers,
    regularizers,
    schedules,
)
from keras_gdx._version import __version__
from keras_gdx.checkpoint.export import export
from keras_gdx.comparison import Budget, Comparison, LogUniform, Uniform, compare, compare_many
from keras_gdx.creation import create
from keras_gdx.engine.variables.layer_groups import layer_decay, layer_groups
from keras_gdx.explanation import explain
from keras_gdx.full_batch import fit_full_batch
from keras_gdx.integration.model_hooks import install as _install
from keras_gdx.memory_estimate import memory
from keras_gdx.own_loop import TrainingLoop
from keras_gdx.recipes import presets
from keras_gdx.recommendation import recommend
from keras_gdx.registry import info, register
from keras_gdx.registry import list as list
from keras_gdx.registry import missing as _missing
from keras_gdx.sharpness import SAM, LookSAM

_install()

if (
    _typing.TYPE_CHECKING
):  # type checkers take a module with `__getattr__` for one that has any name
    from keras_gdx import distribute as distribute
else:

    def __getattr__(name):
        """`keras_gdx.distribute` needs TensorFlow, and is read when it is asked for."""
        if name == "distribute":
            from importlib import import_module

            return import_module("keras_gdx.distribute")
        raise _missing("keras_gdx", name)


__all__ = [  # without `list`: a star import must not shadow the builtin
    "SAM",
    "Budget",
    "Comparison",
    "LogUniform",
    "LookSAM",
    "TrainingLoop",
    "Uniform",
    "__version__",
    "callbacks",
    "compare",
    "compare_many",
    "comparison",
    "constraints",
    "create",
    "explain",
    "export",
    "fit_full_batch",
    "info",
    "layer_decay",
    "layer_groups",
    "memory",
    "modifiers",
    "optimizers",
    "presets",
    "recommend",
    "register",
    "regularizers",
    "schedules",
]
