"""What a recommendation depends on: the structure of a model, and the limits of a training run."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import keras

from keras_gdx.engine.variables.structure import layers_of
from keras_gdx.integration.devices import device_names

Task = Literal["from scratch", "fine-tuning", "gan", "diffusion", "pinn"]
Kind = Literal[
    "language model", "transformer", "convolutional", "recurrent", "embedding tables", "dense"
]


@dataclass(frozen=True)
class Facts:
    """What the table of advice asks for.

    Attributes:
        task: What the model is trained for.
        kind: The kind of the model, by its layers.
        normalization: `"batch"`, `"layer"` (any other kind of normalization), or `None`.
        depthwise: Whether it has depthwise convolutions.
        adapters: Whether it has LoRA adapters.
        batch_size: Examples per update.
        devices: Devices that share a batch.
        gpu: Whether Keras' backend has a GPU.
        steps: Updates in the whole training, if known.
    """

    task: Task
    kind: Kind
    normalization: Literal["batch", "layer"] | None
    depthwise: bool
    adapters: bool
    batch_size: int
    devices: int
    gpu: bool
    steps: int | None = None


def facts_of(
    model: keras.Model, task: Task | None, batch_size: int, devices: int, steps: int | None
) -> Facts:
    """Reads the facts from a built model."""
    layers = layers_of(model)
    adapters = any(getattr(layer, "lora_enabled", False) for layer in layers)
    frozen = 2 * size_of(w for x in layers if not x.trainable for w in x.weights)
    tuned = adapters or frozen > size_of(model.weights)
    return Facts(
        task=task or ("fine-tuning" if tuned else "from scratch"),
        kind=kind_of(layers),
        normalization=normalization_of(layers),
        depthwise=any(isinstance(layer, DEPTHWISE) for layer in layers),
        adapters=adapters,
        batch_size=batch_size,
        devices=devices,
        gpu=any(name.startswith("gpu") for name in device_names()),
        steps=steps,
    )


DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
CONVOLUTIONS = (
    *DEPTHWISE,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)


def size_of(weights: Iterable[Any]) -> int:
    """The number of elements of the weights, each counted once."""
    return sum(prod(w.shape) for w in {id(w): w for w in weights}.values())


def kind_of(layers: list[Any]) -> Kind:
    """The kind of a model, by the layers that hold most of its weights."""
    tables = [layer for layer in layers if isinstance(layer, keras.layers.Embedding)]
    if any("Attention" in type(layer).__name__ for layer in layers):
        vocabularies = {table.input_dim for table in tables}
        tied = any(type(layer).__name__ == "ReversibleEmbedding" for layer in layers)
        heads = {getattr(layer, "units", None) for layer in layers}
        return "language model" if tied or vocabularies & heads else "transformer"
    if any(isinstance(layer, keras.layers.RNN) for layer in layers):
        return "recurrent"
    if any(isinstance(layer, CONVOLUTIONS) for layer in layers):
        return "convolutional"
    if 2 * sum(table.count_params() for table in tables) > layers[0].count_params():
        return "embedding tables"
    return "dense"


def normalization_of(layers: list[Any]) -> Literal["batch", "layer"] | None:
    """The kind of normalization inside a model."""
    if any(isinstance(layer, keras.layers.BatchNormalization) for layer in layers):
        return "batch"
    names = ("LayerNormalization", "GroupNormalization", "RMSNormalization", "LayerNorm")
    return "layer" if any(type(layer).__name__ in names for layer in layers) else None
