"""Groups a model's layers into blocks, ordered by their distance from the output.

The "layer" in a recipe such as "layer decay 0.75" is a block: the layers between two residual
additions, or the unit that is repeated. Blocks are found from the model's connections, not from
names; only embeddings are recognized by name.
"""

import re
from dataclasses import dataclass
from itertools import takewhile
from typing import Annotated, Literal

import keras
from annotated_types import Interval

from keras_gdx.arguments import check, check_built, check_type
from keras_gdx.engine.variables.blocks import Block, blocks_of
from keras_gdx.engine.variables.graph import Graph, Node
from keras_gdx.engine.variables.structure import depths, output_layers, paths

By = Literal["blocks", "layers"]
Share = Annotated[float, Interval(gt=0, le=1)]


@dataclass(frozen=True)
class LayerGroup:
    """Layers that learn at one rate.

    Attributes:
        name: The common prefix of the layers' names, or the first and the last name.
        layers: Paths of the layers.
        variables: Paths of their variables, as in `lr_multipliers`.
    """

    name: str
    layers: tuple[str, ...]
    variables: tuple[str, ...]


class LayerGroups(tuple[LayerGroup, ...]):
    """The groups of a model, from the input to the output. Prints as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        rows = [
            (str(n), group.name, f"{len(group.variables)} variables")
            for n, group in enumerate(self)
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            f"{n:>{widths[0]}}  {name:<{widths[1]}}  {count:>{widths[2]}}"
            for n, name, count in rows
        )


def layer_groups(model: keras.Model, by: By = "blocks") -> LayerGroups:
    """Returns the blocks of a model, in groups from the input to the output.

    The number of groups matches published recipes: a ViT or BERT with 12 blocks has 14 groups,
    ResNet50 18, ConvNeXtTiny 20. These are the rules:

    - A block is the part between the fork and the sum of a residual connection, a module of
      parallel branches that are concatenated, or a custom layer or model made of several layers.
      Where a sequence of blocks repeats, such as attention and feed-forward, one period is one
      block. Layers whose output is concatenated with their input (DenseNet) form one block up to
      the next transition.
    - The first group has everything before the first block, and all embeddings and tokens.
    - The last group is the output layer.
    - Between two blocks, a single kernel belongs to the block after it. Several form a group,
      but each dense layer is a group of its own. A normalization without a kernel belongs to the
      block before it, or to the block after it if the block before starts with a normalization.
    - In a model without blocks, each layer with a kernel is a group, with the normalization
      after it. A depthwise convolution shares a group with the convolution after it.
    - Layers in parallel branches are ordered by their distance from the output. A layer that is
      used several times counts where it is nearest to the output. Variables that are not found in
      the graph belong to the last group.

    For a subclassed model, or a layer that contains blocks, only the order in which its layers
    were created is known. Check the result.

    Args:
        model: A built model.
        by: `"blocks"`, or `"layers"`: each layer of the model, or of a model inside it, that
            has a kernel, with the normalization after it.

    Returns:
        A tuple of groups with `name`, `layers` and `variables`. It prints as a table.

    Raises:
        ValueError: If the model is not built or has no weights.

    Example:
        >>> import keras, keras_gdx
        >>> x = inputs = keras.Input((8,))
        >>> x = keras.layers.Dense(4, name="stem")(x)
        >>> for n in range(2):
        ...     y = keras.layers.Dense(4, "relu", name=f"block{n}_up")(x)
        ...     x = x + keras.layers.Dense(4, name=f"block{n}_down")(y)
        >>> model = keras.Model(inputs, keras.layers.Dense(1, name="head")(x))
        >>> keras_gdx.layer_groups(model)
        0  stem    2 variables
        1  block0  4 variables
        2  block1  4 variables
        3  head    2 variables
    """
    check_type("by", by, By)
    check_built(model)
    names = paths(model)
    check(names, "model", model, "one with weights")
    known = depths(model) if by == "layers" else _depths(model)
    last = max(known.values(), default=0)
    members: dict[int, list[str]] = {}
    for key, path in names.items():
        members.setdefault(known.get(key, last), []).append(path)
    return LayerGroups(_named([members[depth] for depth in sorted(members)]))


def layer_decay(model: keras.Model, rate: Share, by: By = "blocks") -> dict[str, float]:
    """Returns learning-rate multipliers that shrink with the distance from the output.

    The last group of `keras_gdx.layer_groups(model)` learns at the full learning rate, each other
    group at `rate` times that of the group after it. Embeddings are in the first group, so they
    learn slowest.

    Args:
        model: A built model.
        rate: Number in (0, 1].
        by: See `layer_groups`.

    Returns:
        A dictionary for `lr_multipliers`.

    Raises:
        ValueError: If the model is not built, or an argument is out of its range.

    Example:
        >>> import keras, keras_gdx
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="a"),
        ...                           keras.layers.Dense(1, name="b")])
        >>> sorted(set(keras_gdx.layer_decay(model, 0.5).values()))
        [0.5, 1.0]
    """
    check_type("rate", rate, Share)
    groups, names = layer_groups(model, by), paths(model)
    trained = {names.get(id(v)) for v in model.trainable_variables}
    return {
        f"^{re.escape(path)}$": rate ** (len(groups) - 1 - index)
        for index, group in enumerate(groups)
        for path in group.variables
        if path in trained
    }


def _named(members):
    """Yields a `LayerGroup` for each list of variable paths."""
    layers = [
        tuple(dict.fromkeys(path.rpartition("/")[0] or path for path in each)) for each in members
    ]
    for own, variables in zip(layers, members, strict=True):
        pairs = zip(min(own), max(own), strict=False)
        name = "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        others = [path for each in layers if each is not own for path in each]
        if not name or any(path.startswith(name) for path in others):
            name = own[0] if len(own) == 1 else f"{own[0]} ... {own[-1]}"
        yield LayerGroup(name.rstrip("_/."), own, tuple(variables))


def _depths(model):
    """Maps `id(variable)` to the index of its group."""
    graph, makers = Graph(model), {id(layer) for layer in output_layers(model)}
    homes = {node: block for block in blocks_of(graph) for node in block.nodes}
    bottom, head = Block(), Block()
    alone = not homes
    for run in _between(graph, homes):
        before, after = _beside(run, graph, homes)
        for node in run:
            if node.embeds:
                homes[node] = bottom
            elif node.kernel and id(node.layer) in makers:
                homes[node] = head
        kernels = [node for node in run if node.kernel and node not in homes]
        if before and after and len(kernels) < 2:
            joins_next = kernels or before.starts_with_norm
            home = after if joins_next else before
            homes.update((node, home) for node in run if node not in homes)
        else:
            _settle(run, homes, after or head, each=alone)
    heights = _heights(graph, homes)
    heights[head], heights[bottom] = 0, max(heights.values(), default=0)
    top = max(heights.values())
    found: dict[int, int] = {}
    for node, block in homes.items():
        for _, variable in node.variables:
            depth = found.get(id(variable), 0)
            found[id(variable)] = max(depth, top - heights[block])
    for node, block in homes.items():  # also if the output layer shares their weights
        if block is bottom:
            found.update((id(variable), 0) for _, variable in node.variables)
    return found


def _between(graph, homes):
    """The nodes outside of blocks, in connected runs."""
    runs: dict[Node, list[Node]] = {}
    for node in graph.nodes:
        if node not in homes and (node.feeds or node.variables):
            joined = {id(runs[feed]): runs[feed] for feed in node.feeds if feed in runs}
            run = [*(other for each in joined.values() for other in each), node]
            runs.update(dict.fromkeys(run, run))
    unique = {id(run): run for run in runs.values()}.values()
    return [sorted(run, key=lambda node: node.position) for run in unique]


def _beside(run, graph, homes):
    """The blocks before and after a run, each or `None`."""
    here = set(run)
    before = (homes[feed] for node in run for feed in node.feeds if feed in homes)
    after = (homes[x] for x in graph.nodes if x in homes and not here.isdisjoint(x.feeds))
    return next(before, None), next(after, None)


def _settle(run, homes, last, each):
    """Groups a run: each dense layer (or, with `each`, each kernel) alone, the rest together.

    A node without a kernel joins the group before it; at the beginning, the group after it.
    """
    rest, waiting = Block(), []
    for node in run:
        origins = list(dict.fromkeys(homes[feed] for feed in node.feeds if feed in homes))
        if node in homes:
            continue
        if node.kernel:
            alone = each or isinstance(node.layer, keras.layers.Dense)
            joins = each and origins and origins[0].ends_depthwise
            home = origins[0] if joins else Block() if alone else rest
        elif origins and (node.variables or len(origins) == 1):
            home = origins[0]
        else:
            waiting += [node] if node.variables else []
            continue
        for each_node in (*waiting, node):
            homes[each_node] = home
            home.nodes.append(each_node)
        waiting = []
    homes.update(dict.fromkeys(waiting, last))


def _heights(graph, homes):
    """Maps each group to the number of groups after it on the longest path to an output."""
    heights: dict[Block, int] = {}
    above: dict[Node, int] = {}
    for node in reversed(graph.nodes):
        block, height = homes.get(node), above.get(node, 0)
        if block is not None:
            height = heights[block] = max(height, heights.get(block, 0))
        for feed in node.feeds:
            step = block is not None and homes.get(feed) is not block
            above[feed] = max(above.get(feed, 0), height + step)
    return heights
