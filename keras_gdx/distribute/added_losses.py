"""Losses that layers add with `add_loss`: on replicas they must be means over the examples.

Nothing in the value of an added loss says how it was reduced. So layers whose code adds losses
are called on a few examples, and on several copies of each: a mean is the same, a sum grows.
"""

from typing import Any

import keras
import numpy as np

from keras_gdx.distribute.scope import some
from keras_gdx.engine.variables.structure import layer_paths

EXAMPLES, COPIES = 4, 16
UNKNOWN = 4  # entries along axes of unknown length


def adding(model: keras.Model) -> dict[str, keras.Layer]:
    """The layers, by path, whose code calls `add_loss`."""
    return {
        path: layer
        for path, layer in layer_paths(model).items()
        if "add_loss" in getattr(getattr(type(layer).call, "__code__", None), "co_names", ())
    }


def sums(model: keras.Model) -> list[str]:
    """The paths of the layers that add a sum over the examples, as far as it can be found out."""
    layers = adding(model)
    if not layers or not getattr(model, "inputs", None):
        return []
    draw = np.random.default_rng(0).normal
    shapes = ([EXAMPLES, *(n or UNKNOWN for n in x.shape[1:])] for x in model.inputs)
    try:
        inputs = [
            np.abs(draw(size=shape)).astype(x.dtype)
            for shape, x in zip(shapes, model.inputs, strict=True)
        ]
        once = _added(model, layers, inputs)
        often = _added(model, layers, [np.repeat(x, COPIES, axis=0) for x in inputs])
    except Exception:  # inputs are strings, or a batch has a fixed size
        return []
    return [path for path in layers if often[path] > once[path] * COPIES**0.5]


def require_means(model: keras.Model) -> None:
    """Raises a `ValueError` if layers add sums over the examples."""
    if found := sums(model):
        raise ValueError(
            f"add_loss in {some(found)} adds a sum over the examples, and on replicas an added "
            "loss counts as a mean over them. Divide it by the number of examples."
        )


def _added(
    model: keras.Model, layers: dict[str, keras.Layer], inputs: list[Any]
) -> dict[str, float]:
    """The magnitudes of what each layer adds for these inputs; the model is not changed."""
    found = dict.fromkeys(layers, 0.0)

    def recording(path):
        def add_loss(loss):
            for each in keras.tree.flatten(loss):
                found[path] += float(keras.ops.sum(keras.ops.abs(each)))

        return add_loss

    structure = getattr(model, "input", model.inputs[0])
    for path, layer in layers.items():
        vars(layer)["add_loss"] = recording(path)
    try:
        with keras.StatelessScope():
            model(keras.tree.pack_sequence_as(structure, inputs), training=True)
    finally:
        for layer in layers.values():
            del vars(layer)["add_loss"]
    return found
