"""A model as a graph of layers, from its inputs to its outputs.

A functional model records how its layers are connected. For other layers that contain layers, only
the order of creation is known; they are treated as a chain.
"""

import re
from collections import Counter

import keras

from keras_gdx.engine.variables.structure import kind_of, layers_inside

NAMES = r"token$|^pos(_|ition)|embed"  # names of embedding variables in custom layers


class Call:
    """One call of a layer that contains layers; identifies the nodes inside it."""


class Node:
    """One call of a layer or of an operation.

    Attributes:
        layer: The layer or operation.
        feeds: The nodes that its inputs come from.
        calls: The `Call`s that contain it, outermost first.
        position: Its index in the graph; its feeds come before it.
        above: Bit mask of the positions of all nodes that it depends on, and of its own.
        merges: How it merges features of several origins: `"sum"`, `"join"` or `None`.
        variables: Pairs of a layer and a trainable or frozen variable of it, including the layers
            inside it.
        embeds: Whether it has embeddings or tokens.
        kernel: Whether it has kernels.
        normalizes: Whether all its variables belong to normalizations.
    """

    def __init__(self, layer, feeds, calls, position, merges=None, parts=None):
        self.layer = layer
        self.feeds = feeds
        self.calls = calls
        self.position = position
        self.above = 1 << position
        for feed in feeds:
            self.above |= feed.above
        self.merges = merges
        parts = layers_inside(layer) if parts is None else parts
        # Includes frozen variables: they may be unfrozen later.
        self.variables = [(part, v) for part in parts for v in part._trainable_variables]
        kinds = [_kind(part, v) for part, v in self.variables]
        self.embeds = "embedding" in kinds
        self.kernel = "kernel" in kinds
        self.normalizes = set(kinds) == {"norm"}

    def follows(self, other):
        """Whether it depends on the other node."""
        return bool(self.above >> other.position & 1) and self is not other

    @property
    def sign(self):
        """A key that is equal for layers of one class with weights of equal shapes."""
        return type(self.layer).__name__, tuple(tuple(v.shape) for _, v in self.variables)


class Graph:
    """The nodes of a built model, in topological order."""

    def __init__(self, model):
        self.nodes: list[Node] = []
        self._enter(model, [], ())

    def between(self, first, last):
        """The nodes on all paths from one node to another, without the first."""
        return [
            node
            for node in self.nodes[first.position + 1 : last.position + 1]
            if node.follows(first) and (node is last or last.follows(node))
        ]

    def fork(self, nodes):
        """The last node among these and their common ancestors, or `None`."""
        common = -1
        for node in nodes:
            common &= node.above
        return self.nodes[common.bit_length() - 1] if common else None

    def merges(self):
        """Pairs of a merging node and its origins; a sum used only in another sum is part of it."""
        uses = Counter(feed for node in self.nodes for feed in node.feeds)

        def parts(node):
            for feed in node.feeds:
                inner = feed.merges == node.merges == "sum" and uses[feed] == 1
                yield from parts(feed) if inner else [feed]
                within.update([feed] if inner else [])

        within: set[Node] = set()
        found = [(node, list(parts(node))) for node in self.nodes if node.merges]
        return [(node, origins) for node, origins in found if node not in within]

    def _add(self, layer, feeds, calls, **what):
        self.nodes.append(Node(layer, feeds, calls, len(self.nodes), **what))
        return [self.nodes[-1]]

    def _call(self, layer, feeds, calls, **what):
        if is_container(layer):
            return self._enter(layer, feeds, (*calls, Call()))
        return self._add(layer, feeds, calls, **what)

    def _enter(self, layer, feeds, calls):
        """Adds the nodes inside a layer; returns the nodes of its outputs."""
        if hasattr(layer, "_nodes_by_depth"):
            return self._connected(layer, feeds, calls)
        if layer._trainable_variables:  # where the layer uses them is unknown
            self._add(layer, [], calls, parts=[layer])
        for part in layer._layers:
            feeds = self._call(part, feeds, calls)
        return feeds

    def _connected(self, model, feeds, calls):
        made: dict[int, Node] = {}
        for number, tensor in enumerate(model.inputs):
            if feeds:
                made[id(tensor)] = feeds[min(number, len(feeds) - 1)]
        by_depth = model._nodes_by_depth
        for call in (call for depth in sorted(by_depth, reverse=True) for call in by_depth[depth]):
            known = [made[id(x)] for x in call.input_tensors]
            if call.is_input:
                given = [made[id(x)] for x in call.outputs if id(x) in made]
                new = given or self._add(call.operation, [], calls)
            elif isinstance(call.operation, keras.Layer):
                new = self._call(call.operation, known, calls, merges=_merges(call))
            else:
                new = self._add(call.operation, known, calls, merges=_merges(call), parts=())
            made.update((id(x), new[min(n, len(new) - 1)]) for n, x in enumerate(call.outputs))
        return [made[id(x)] for x in model.outputs]


def is_container(layer):
    """Whether a layer's inner layers are separate nodes.

    That is so for a model, a wrapper around one, and a layer that holds several composite layers of
    the same class: a stack of blocks.
    """
    if isinstance(layer, keras.Model):
        return True
    parts = [part for part in layer._layers if part.weights]
    if len(parts) == 1 and not layer._trainable_variables:
        return is_container(parts[0])
    blocks = Counter(type(part) for part in parts if is_composite(part))
    return not _is_of_keras(layer) and max(blocks.values(), default=0) > 1


def is_composite(layer):
    """Whether a custom layer, other than attention, contains several layers with kernels."""
    name = type(layer).__name__
    if _is_of_keras(layer) or "Attention" in name:
        return False
    parts = layers_inside(layer)[1:]
    return sum(any(kind_of(x, v) == "kernel" for v in x._trainable_variables) for x in parts) > 1


def _is_of_keras(layer):
    return type(layer).__module__.startswith("keras.")


def _kind(layer, variable):
    """Embeddings of patches and positions, and tokens, are recognized by their names only."""
    named = "Embed" in type(layer).__name__ or re.search(NAMES, variable.name)
    return "embedding" if named else kind_of(layer, variable)


def _merges(call):
    """How an operation merges its inputs. A product is a gate, not a merge: it scales its input."""
    tensors = call.input_tensors
    weighted = isinstance(call.operation, keras.Layer) and call.operation.weights
    if len(tensors) < 2 or weighted:
        return None
    name = type(call.operation).__name__
    after = call.outputs[0].shape
    if name == "Concatenate":
        return "join" if after[-1] != tensors[0].shape[-1] else None
    same = all(x.shape == after for x in tensors)
    return "sum" if same and name not in ("Multiply", "Divide") else None
