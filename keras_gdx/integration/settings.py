"""What a program sets that no variable holds, to tell what has changed when a run resumes."""

import re
import reprlib
import warnings

import keras
import numpy as np

from keras_gdx.engine.variables.structure import layers_of
from keras_gdx.integration.model_attributes import ascent_of
from keras_gdx.integration.model_optimizers import optimizers_of, ours

COMPILED = ("loss", "loss_weights", "jit_compile")
PLACES = ("module", "registered_name")  # say how to find a class, not what it does
PLANNED = ("total_steps", "begin")  # `fit` sets these arguments of a schedule without a length


def settings_of(model):
    """The settings of a compiled model: nested dictionaries of JSON types."""
    compiled = getattr(model, "_compile_config", None)
    given = compiled.config if compiled is not None else {}
    ascent = ascent_of(model)
    layers = [layer for layer in layers_of(model) if not isinstance(layer, keras.Model)]
    return {
        **{name or "optimizer": _configuration(x) for name, x in optimizers_of(model).items()},
        "compile": _plain({name: given.get(name) for name in COMPILED}),
        "SAM": ascent and _configuration(ascent),
        "layers": {f"{i} {type(x).__name__}": _configuration(x) for i, x in enumerate(layers)},
    }


def kept_in_variables(model):
    """The names of settings of optimizers that are restored with their variables."""
    return {"learning_rate"}.union(*(optimizer.numbers() for optimizer in ours(model)))


def differences(before, now, path=""):
    """Yields the path of each setting that differs, its value before, and its value now.

    Example:
        >>> list(differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}))
        [('a.c', 2, 3)]
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for key in before | now:  # `None` is as good as missing, in another version of Keras
            inside = f"{path}.{key}" if path else key
            yield from differences(before.get(key), now.get(key), inside)
    elif before != now:
        yield path, before, now


def described(differences):
    """The differences in words, at most eight."""
    found = [f"`{path}` was {_short(a)}, now {_short(b)}" for path, a, b in differences]
    return "; ".join(found[:8]) + ("; ..." if found[8:] else "")


def _short(value):
    if isinstance(value, dict):
        return value.get("class_name", "other")
    return f"{value:.6g}" if isinstance(value, float) else reprlib.repr(value)


def _configuration(thing):
    """The class of a layer or optimizer, and its configuration if it has one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras warns of functions, which are named here
            config = thing.get_config()
    except Exception:  # a class of the user may not define it
        config = {}
    plain = _plain({k: v for k, v in config.items() if k != "name"})
    return {"class_name": type(thing).__name__, **plain}


def _plain(value):
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if value == value else "nan"
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if not isinstance(value, dict):
        known = hasattr(value, "get_config") and not isinstance(value, type)
        return _configuration(value) if known else getattr(value, "__name__", type(value).__name__)
    if value.get("class_name") == "__lambda__":  # its code says in which file and line it is
        return "lambda"
    if value.get("class_name") == "Planned":
        config = {k: v for k, v in value["config"].items() if k not in PLANNED}
        value = value | {"config": config}
    return {
        str(k): re.sub(r"_\d+$", "", v) if k == "name" and isinstance(v, str) else _plain(v)
        for k, v in value.items()
        if k not in PLACES
    }
