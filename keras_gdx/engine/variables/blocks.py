"""Finds the blocks of a model from the connections between its layers."""

from itertools import groupby

from keras_gdx.engine.variables.graph import Graph, Node, is_composite

RESTORES = ("UpSampling", "DTranspose", "Resiz")  # layers that raise the resolution


class Block:
    """Nodes that belong together.

    Attributes:
        nodes: The nodes, in order.
        entry: The node before them, or `None`.
        dense: Whether its output is concatenated with its input, as in DenseNet.
    """

    def __init__(self, nodes=(), entry=None, dense=False):
        self.nodes = list(nodes)
        self.entry = entry
        self.dense = dense

    @property
    def sign(self):
        """A key that is equal for blocks of the same structure."""
        return tuple(node.sign for node in self.nodes if node.variables)

    @property
    def starts_with_norm(self):
        """Whether its first layer with weights is a normalization."""
        return next(node for node in self.nodes if node.variables).normalizes

    @property
    def ends_depthwise(self):
        """Whether its last kernel is depthwise: the first half of a separable convolution."""
        kernels = [type(node.layer).__name__ for node in self.nodes if node.kernel]
        return bool(kernels) and kernels[-1].startswith("Depthwise")

    def is_possible(self):
        """Whether it has a kernel and never restores resolution, as a level of a U-Net does."""
        names = [type(node.layer).__name__ for node in self.nodes]
        restores = any(part in name for name in names for part in RESTORES)
        return any(node.kernel for node in self.nodes) and not restores


def blocks_of(graph: Graph) -> list[Block]:
    """Returns the blocks in no particular order; each repeated sequence of blocks is merged."""
    home: dict[Node, Block] = {}
    found = [*_merged(graph), *_called(graph), *_composite(graph)]
    for block in sorted(found, key=lambda block: len(block.nodes)):
        inner = list(dict.fromkeys(home[node] for node in block.nodes if node in home))
        alike = len({each.sign for each in inner}) < len(inner)
        torn = not {node for each in inner for node in each.nodes} <= set(block.nodes)
        # If it contains several blocks of equal structure, it is a stack or a long skip connection.
        if block.is_possible() and not alike and not torn:
            home.update(dict.fromkeys(block.nodes, block))
    runs = _runs(list(dict.fromkeys(home.values())), home)
    return [block for run in runs for block in _rounds(_dense_as_one(run))]


def _merged(graph):
    """The nodes between fork and merge of residual connections and parallel branches."""
    for merge, origins in graph.merges():
        fork = graph.fork(origins)
        if fork is not None:
            dense = merge.merges == "join" and fork in origins
            yield Block(graph.between(fork, merge), fork, dense)


def _called(graph):
    """Models and layers that contain layers, if several of the same kind are connected."""
    inside: dict = {}
    for node in graph.nodes:
        for depth, call in enumerate(node.calls):
            inside.setdefault((call, node.calls[:depth]), []).append(node)
    alike: dict = {}
    for (_, outer), nodes in inside.items():
        kinds = tuple(type(node.layer) for node in nodes if node.variables)
        alike.setdefault((outer, kinds), []).append(nodes)
    for group in alike.values():
        for nodes in group:
            others = [each[-1] for each in group if each is not nodes]
            linked = any(nodes[-1].follows(x) or x.follows(nodes[-1]) for x in others)
            if linked and sum(node.kernel for node in nodes) > 1:
                yield _block(nodes)


def _composite(graph):
    """Layers made of several layers; with embeddings inside only if the layer is repeated."""
    kinds = [type(node.layer) for node in graph.nodes]
    for node in graph.nodes:
        several = kinds.count(type(node.layer)) > 1
        if is_composite(node.layer) and (several or not node.embeds):
            yield _block([node])


def _block(nodes):
    return Block(nodes, next((x for n in nodes for x in n.feeds if x not in nodes), None))


def _runs(blocks, home):
    """Sequences of blocks that follow each other without a kernel in between."""
    next_of: dict[Block, Block] = {}
    for block in blocks:
        node = block.entry
        while node is not None and node not in home and not node.kernel:
            node = next(iter(node.feeds), None)
        if node in home:
            next_of.setdefault(home[node], block)
    following = set(next_of.values())
    for block in blocks:
        if block not in following:
            run = [block]
            while run[-1] in next_of:
                run.append(next_of[run[-1]])
            yield run


def _dense_as_one(run):
    for dense, group in groupby(run, key=lambda block: block.dense):
        blocks = list(group)
        yield from [_joined(blocks)] if dense else blocks


def _rounds(run):
    """Joins the blocks of each period of a sequence, such as attention and feed-forward."""
    blocks = list(run)
    while blocks:
        length, rounds = _period([block.sign for block in blocks])
        for _ in range(rounds):
            yield _joined(blocks[:length])
            del blocks[:length]


def _period(signs):
    """Length and count of the period that covers the most blocks; the shortest if several do."""
    best = 1, 1
    for length in range(1, len(signs) // 2 + 1):
        rounds = 1
        while signs[rounds * length : (rounds + 1) * length] == signs[:length]:
            rounds += 1
        if rounds > 1 and length * rounds > best[0] * best[1]:
            best = length, rounds
    return best


def _joined(blocks):
    return Block([node for block in blocks for node in block.nodes], blocks[0].entry)
