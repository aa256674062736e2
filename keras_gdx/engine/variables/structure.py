"""What a variable is in its model: a kernel, an embedding, a norm's scale, the output layer."""

import functools
import math
import re
from dataclasses import dataclass

import keras

from keras_gdx.arguments import check

VECTORS = ("bias", "alpha", "beta", "gamma")  # vectors of any rank, as in attention, GRU and PReLU


@dataclass(frozen=True)
class Role:
    """The role of a variable in its model.

    Attributes:
        kind: `"kernel"`, `"embedding"`, `"norm"` or `"vector"` (biases and scalars too).
        head: Whether its layer produces the model's output.
        inputs: For a kernel, the number of leading axes that are inputs.
    """

    kind: str
    head: bool = False
    inputs: int = 1

    def matrix_shape(self, shape):
        """`(inputs, outputs)` of a kernel reshaped to a matrix."""
        return math.prod(shape[: self.inputs]), math.prod(shape[self.inputs :])


def role_of(variable):
    """The role derived from the variable alone, for training loops without a model."""
    rank = len(variable.shape)
    name = variable.name.rpartition("/")[2].partition(":")[0]
    if rank < 2 or name in VECTORS:
        return Role("vector")
    return Role("embedding" if name == "embeddings" else "kernel", inputs=rank - 1)


def roles(model):
    """Maps `id(variable)` to its `Role`, for all weights of a built model, also frozen ones."""
    heads = {id(layer) for layer in output_layers(model)}
    found = {}
    for block in _blocks(model):
        for layer, v in _members(block):
            head = id(layer) in heads or id(block) in heads
            found[id(v)] = Role(kind_of(layer, v), head, _input_axes(layer, v))
    return found


def depths(model):
    """Maps `id(variable)` to the number of layers with kernels or embeddings before its own."""
    found: dict[int, int] = {}
    depth = -1
    for block in _blocks(model):
        members = _members(block)
        depth += any(kind_of(layer, v) in ("kernel", "embedding") for layer, v in members)
        found.update((id(v), max(depth, 0)) for _, v in members)
    return found


def path_of(variable):
    """The path of a Keras variable, or the name of a `tf.Variable`."""
    return getattr(variable, "path", None) or variable.name


def without_numbers(path):
    """The path without the numbers that Keras appends to names of layers.

    Names of optimizer variables contain the path of a model variable, with `_` for `/`.
    """
    return re.sub(r"_\d+(?=[/_]|$)", "", path)


def paths(model):
    """Maps `id(variable)` to its path, built from the names of the layers that contain it.

    Keras' own path changes when a model is loaded: it then omits nested `Sequential` models and
    wrappers such as `Bidirectional`.
    """
    found: dict[int, str] = {}
    _collect(model, "", found)
    return found


def _collect(layer, prefix, found):
    for variable in layer._trainable_variables:
        found.setdefault(id(variable), prefix + variable.name)
    for part in layer._layers:
        _collect(part, f"{prefix}{part.name}/", found)


def layer_paths(model):
    """Maps paths to the layers inside a model, at any depth except inside an RNN."""
    found: dict[str, keras.Layer] = {}

    def collect(layer, prefix):
        for part in layer._layers:
            found[prefix + part.name] = part
            if not isinstance(part, keras.layers.RNN):
                collect(part, f"{prefix}{part.name}/")

    collect(model, "")
    return found


class Recorded(list):
    """Records the outputs of some layers, as `(name, outputs)`, while this context is active.

    Args:
        layers: Layers, by name.
    """

    def __init__(self, layers):
        super().__init__()
        self._layers = layers

    def __enter__(self):
        for name, layer in self._layers.items():
            vars(layer)["call"] = self._recording(name, layer.call)
        return self

    def __exit__(self, *_):
        for layer in self._layers.values():
            del vars(layer)["call"]

    def _recording(self, name, call):
        @functools.wraps(call)
        def recording(*args, **kwargs):
            outputs = call(*args, **kwargs)
            self.append((name, outputs))
            return outputs

        return recording


def _blocks(model):
    """The layers of a model in order; nested models are replaced by their layers."""
    for layer in model._layers:
        if isinstance(layer, keras.Model):
            yield from _blocks(layer)
        else:
            yield layer


def layers_inside(layer):
    """A layer and all layers inside it."""
    found = [layer]
    for part in layer._layers:
        found += layers_inside(part)
    return found


def _members(block):
    """Pairs of a layer and a variable of it, for a block and all layers inside."""
    return [(layer, v) for layer in layers_inside(block) for v in layer._trainable_variables]


def kind_of(layer, variable):
    """The `kind` of a layer's variable, as in `Role`."""
    name = type(layer).__name__
    if "Embedding" in name:
        return "embedding"
    if name.endswith(("Normalization", "Norm")):
        return "norm"
    is_vector = len(variable.shape) < 2 or variable.name in VECTORS
    return "vector" if is_vector else "kernel"


def _input_axes(layer, variable):
    """All axes but the last, unless an einsum equation differs."""
    rank = len(variable.shape)
    if isinstance(layer, keras.layers.EinsumDense) and rank >= 2:
        operands, output = layer.equation.replace(" ", "").split("->")
        contracted = [axis not in output for axis in operands.split(",")[1]]
        if contracted == sorted(contracted, reverse=True) and any(contracted):
            return sum(contracted)
    return max(1, rank - 1)


def output_layers(model):
    """The last layers with weights before the model's outputs."""
    outputs = keras.tree.flatten(getattr(model, "outputs", None) or [])
    if not outputs:  # a subclassed model has no graph: use the last layer with a kernel
        kernels = [
            x for x in _blocks(model) if any(len(v.shape) > 1 for v in x.trainable_variables)
        ]
        return kernels[-1:]
    found: list[keras.layers.Layer] = []
    for output in outputs:
        history = output._keras_history
        while not getattr(history.operation, "weights", None):
            inputs = history.operation._inbound_nodes[history.node_index].input_tensors
            if not inputs:
                break
            history = inputs[0]._keras_history
        inner = isinstance(history.operation, keras.Model)
        found += output_layers(history.operation) if inner else [history.operation]
    return found


def layers_of(model):
    """The model and all layers inside it, each once."""
    found, left = {}, [model]
    while left:
        layer = left.pop()
        if id(layer) not in found:
            found[id(layer)] = layer
            for value in vars(layer).values():
                parts = value if isinstance(value, (list, tuple)) else [value]
                left += [part for part in parts if isinstance(part, keras.Layer)]
    return list(found.values())


def select(variables, include, exclude, usual):
    """Selects variables whose path matches `include` and does not match `exclude`.

    Args:
        variables: Variables.
        include: Regular expression; `None` selects those whose `id` is in `usual`.
        exclude: Regular expression, or `None`.
        usual: Set of ids.

    Raises:
        ValueError: If a pattern is not a regular expression, or no variable is left.
    """
    check_pattern("include", include)
    check_pattern("exclude", exclude)
    chosen = [
        v
        for v in variables
        if (re.search(include, v.path) if include else id(v) in usual)
        and not (exclude and re.search(exclude, v.path))
    ]
    if not chosen:
        paths = ", ".join(v.path for v in variables[:20]) + (", ..." if variables[20:] else "")
        raise ValueError(
            f"The arguments select no variable. Received: include={include!r}, "
            f"exclude={exclude!r}. The trainable variables are: {paths}"
        )
    return chosen


def check_pattern(name, value):
    """Raises `ValueError` unless `value` is a regular expression or `None`."""
    try:
        re.compile(value or "")
    except (re.error, TypeError):
        check(False, name, value, "None or a regular expression")
