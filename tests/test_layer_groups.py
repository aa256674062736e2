"""Which layers are one group for layer decay, and the rate of each group.

The values named `TIMM` were recorded from timm 1.0.31: `group_parameters(model,
model.group_matcher(coarse=False), reverse=True)`, which its layer decay uses.
"""

import re

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_gdx
from keras_gdx.engine.variables.layer_groups import Share
from keras_gdx.engine.variables.structure import paths
from tests.declared import wrong_values

WIDTH = 8

# Blocks in each stage. One group each; plus one before them, and one for the classifier.
TIMM = {
    "resnet50": (3, 4, 6, 3),
    "convnext_tiny": (3, 3, 9, 3),  # with the downsampling before its stage
    "efficientnet_b0": (1, 2, 2, 3, 3, 4, 1),  # the last one with `conv_head`
    "mobilenetv2_100": (1, 2, 3, 4, 3, 3, 1),
    "vit_base_patch16_224": (12,),  # the last one with the final norm
    "beit_base_patch16_224": (12,),
    "mixer_b16_224": (12,),
    "densenet121": (6, 12, 24, 16),  # each layer of a dense block is a group
}


def application(name, **options):
    body = getattr(keras.applications, name)(
        weights=None, include_top=False, input_shape=(32, 32, 3), pooling="avg", **options
    )
    return keras.Sequential([keras.Input((32, 32, 3)), body, layers.Dense(3, name="head")])


def places(model, by="blocks"):
    """The group of each layer, by the layer's path."""
    groups = keras_gdx.layer_groups(model, by=by)
    return {layer: place for place, group in enumerate(groups) for layer in group.layers}


def numbered(stages):
    """Maps `(stage, block)`, from 0, to the number of the group."""
    pairs = [(stage, block) for stage, count in enumerate(stages) for block in range(count)]
    return {pair: place for place, pair in enumerate(pairs, 1)}


def found_in(pattern, name):
    found = re.search(pattern, name)
    return found and tuple(int(x) if x.isdigit() else "abcdef".index(x) for x in found.groups())


# -- the models of keras.applications ----------------------------------------------------------


@pytest.mark.parametrize("name", ["ResNet50", "ResNet50V2"])
def test_resnet_is_grouped_as_in_timm(name):
    blocks = numbered(TIMM["resnet50"])
    for layer, place in places(application(name)).items():
        block = found_in(r"conv(\d)_block(\d+)", layer)
        if layer.endswith("conv2_block1_preact_bn"):
            assert place == 0  # a norm right after the stem; timm assigns it to the first block
        elif block:
            assert place == blocks[block[0] - 2, block[1] - 1], layer
        else:
            assert place == {"head": 17, f"{name.lower()}/post_bn": 16}.get(layer, 0), layer


def test_convnext_is_grouped_as_in_timm():
    blocks = numbered(TIMM["convnext_tiny"])
    for layer, place in places(application("ConvNeXtTiny")).items():
        block = found_in(r"stage_(\d)_block_(\d)", layer)
        down = found_in(r"downsampling_block_(\d)", layer)
        if block or down:
            assert place == blocks[block or (down[0] + 1, 0)], layer
        elif layer != "head":
            # timm counts the final norm of ConvNeXt to the classifier, that of a ViT to the last
            # block. Here it is in the last block: of all models, and it was trained before.
            assert place == (0 if "stem" in layer else 18), layer
        else:
            assert place == 19


@pytest.mark.parametrize(
    ("name", "there", "pattern"),
    [
        ("EfficientNetB0", "efficientnet_b0", r"/block(\d)([a-z])"),
        ("MobileNetV2", "mobilenetv2_100", r"/block_(\d+)_"),
    ],
)
def test_inverted_residuals_are_grouped_as_in_timm_above_the_first_residual(name, there, pattern):
    """The blocks before the first residual connection are one group with the stem."""
    blocks = numbered(TIMM[there])
    ours = places(application(name))
    assert max(ours.values()) + 1 == len(blocks) + 2 - 2
    for layer, place in ours.items():
        block = found_in(pattern, layer)
        if block and len(block) == 1:
            theirs = block[0] + 1
        elif block:
            theirs = blocks[block[0] - 1, block[1]]
        else:
            last = re.search(r"top_|/Conv_1", layer)
            theirs = {"head": len(blocks) + 1}.get(layer, len(blocks) if last else 0)
        assert place == max(theirs - 2, 0), layer


def test_each_dense_block_is_one_group():
    """timm has 60 groups: with 0.75 the lowest one would learn at 4e-8 of the rate."""
    for layer, place in places(application("DenseNet121")).items():
        block = found_in(r"conv(\d)_block", layer) or found_in(r"pool(\d)_", layer)
        expected = {"head": 5, "densenet121/bn": 4}.get(layer, 0)
        if block:  # a transition, such as `pool2_conv`, belongs to the next block
            expected = block[0] - 1 + ("pool" in layer)
        assert place == expected, layer
    assert 1 + sum(TIMM["densenet121"]) + 1 == 60


def test_plain_convolutions_are_groups_of_their_own():
    """A depthwise convolution is grouped with the pointwise one after it, as in timm."""
    ours = places(application("MobileNet", alpha=0.25))
    assert max(ours.values()) + 1 == 15
    for layer, place in ours.items():
        block = found_in(r"conv_(?:dw|pw)_(\d+)", layer)
        assert place == (block[0] if block else {"head": 14}.get(layer, 0)), layer


def test_no_network_is_nearly_frozen():
    """With layers as groups, ResNet50's lowest multiplier with 0.75 was 2.4e-7."""
    model = application("ResNet50")
    decay = keras_gdx.layer_decay(model, 0.75)
    assert len(decay) == len(model.trainable_variables)
    assert min(decay.values()) == 0.75**17
    assert min(keras_gdx.layer_decay(model, 0.75, by="layers").values()) == 0.75**53


# -- transformers, written in the usual ways ---------------------------------------------------


class Parts(list):
    """The layers of each group, in the order of the model."""

    def next(self):
        self.append([])

    def __call__(self, layer):
        self[-1].append(layer)
        return layer


def agrees(model, expected):
    names = paths(model)
    weights = [[v for layer in group for v in layer.trainable_variables] for group in expected]
    expected = [sorted({names[id(v)] for v in each}) for each in weights]
    groups = keras_gdx.layer_groups(model)
    assert [sorted(group.variables) for group in groups] == expected
    assert sum(map(len, expected)) == len(model.trainable_variables)


def transform(x, add, prenorm=True, memory=None):
    """One block of a flat graph, without names."""

    def residual(x, branch):
        norm = add(layers.LayerNormalization())
        return x + branch(norm(x)) if prenorm else norm(layers.Add()([x, branch(x)]))

    attention = add(layers.MultiHeadAttention(2, 4))
    x = residual(x, lambda y: layers.Dropout(0.1)(attention(y, y)))
    if memory is not None:
        cross = add(layers.MultiHeadAttention(2, 4))
        x = residual(x, lambda y: cross(y, memory))
    wide, narrow = add(layers.Dense(2 * WIDTH, "gelu")), add(layers.Dense(WIDTH))
    return residual(x, lambda y: narrow(wide(y)))


class ClassToken(layers.Layer):
    def build(self, shape):
        self.token = self.add_weight(shape=(1, 1, shape[-1]), name="cls_token")

    def call(self, x):
        return ops.repeat(self.token, ops.shape(x)[0], axis=0)

    def compute_output_shape(self, shape):
        return (shape[0], 1, shape[-1])


class AddPositions(layers.Layer):
    def build(self, shape):
        self.positions = self.add_weight(shape=(1, *shape[1:]), name="pos_embedding")

    def call(self, x):
        return x + self.positions


def side_by_side(blocks):
    """Attention and feed-forward from the same normalization, added in two sums."""
    add = Parts([[]])
    inputs = keras.Input((6, WIDTH))
    x = add(layers.Dense(WIDTH))(inputs)
    for _ in range(blocks):
        add.next()
        y = add(layers.LayerNormalization())(x)
        x = x + add(layers.MultiHeadAttention(2, 4))(y, y)
        x = x + add(layers.Dense(WIDTH))(add(layers.Dense(2 * WIDTH))(y))
    add.next()
    return keras.Model(inputs, add(layers.Dense(3))(x)), add


def vit(blocks, prenorm=True):
    add = Parts([[]])
    x = inputs = keras.Input((16, 16, 3))
    x = layers.Reshape((16, WIDTH))(add(layers.Conv2D(WIDTH, 4, 4))(x))
    x = layers.Concatenate(axis=1)([add(ClassToken())(x), x])
    x = add(AddPositions())(x)
    for _ in range(blocks):
        add.next()
        x = transform(x, add, prenorm)
    x = add(layers.LayerNormalization())(x)[:, 0]
    add.next()
    return keras.Model(inputs, add(layers.Dense(3))(x)), add


def bert(blocks):
    add = Parts([[]])
    inputs = [keras.Input((6,), dtype="int32") for _ in range(2)]
    tokens, segments = (
        add(layers.Embedding(n, WIDTH))(x) for n, x in zip((9, 2), inputs, strict=True)
    )
    positions = add(layers.Embedding(6, WIDTH))(ops.arange(6) + 0 * inputs[0])
    x = add(layers.LayerNormalization())(tokens + segments + positions)
    for _ in range(blocks):
        add.next()
        x = transform(x, add, prenorm=False)
    add.next()
    x = add(layers.Dense(WIDTH, "tanh"))(x[:, 0])
    add.next()
    return keras.Model(inputs, add(layers.Dense(2))(x)), add


def translator(blocks):
    """Encoder and decoder: the decoder's blocks come after the encoder's."""
    add = Parts([[]])
    inputs = [keras.Input((n,), dtype="int32") for n in (6, 5)]
    x, y = (add(layers.Embedding(9, WIDTH))(each) for each in inputs)
    for _ in range(blocks):
        add.next()
        x = transform(x, add)
    for _ in range(blocks):
        add.next()
        y = transform(y, add, memory=x)
    add.next()
    return keras.Model(inputs, add(layers.Dense(9))(y)), add


def mixer(blocks):
    add = Parts([[]])
    x = inputs = keras.Input((16, 16, 3))
    x = layers.Reshape((16, WIDTH))(add(layers.Conv2D(WIDTH, 4, 4))(x))

    def mix(x, wide, width):
        return add(layers.Dense(width))(add(layers.Dense(wide, "gelu"))(x))

    for _ in range(blocks):
        add.next()
        y = layers.Permute((2, 1))(add(layers.LayerNormalization())(x))
        x = x + layers.Permute((2, 1))(mix(y, 12, 16))
        x = x + mix(add(layers.LayerNormalization())(x), 20, WIDTH)
    x = layers.GlobalAveragePooling1D()(add(layers.LayerNormalization())(x))
    add.next()
    return keras.Model(inputs, add(layers.Dense(3))(x)), add


class Block(layers.Layer):
    def __init__(self):
        super().__init__()
        self.norms = [layers.LayerNormalization() for _ in range(2)]
        self.attention = layers.MultiHeadAttention(2, 4)
        self.feed_forward = keras.Sequential([layers.Dense(2 * WIDTH), layers.Dense(WIDTH)])

    def call(self, x):
        y = self.norms[0](x)
        x = x + self.attention(y, y)
        return x + self.feed_forward(self.norms[1](x))


class RelativeBlock(Block):
    """With embeddings inside, which belong to the block."""

    def __init__(self):
        super().__init__()
        self.distances = layers.Embedding(6, WIDTH)

    def call(self, x):
        return super().call(x + self.distances(ops.arange(6)))


class Embedder(layers.Layer):
    def __init__(self):
        super().__init__()
        self.tokens = layers.Embedding(9, WIDTH)
        self.positions = layers.Embedding(6, WIDTH)

    def call(self, x):
        return self.tokens(x) + self.positions(ops.arange(6))


class Stack(layers.Layer):
    """A layer that contains blocks, as many encoders do."""

    def __init__(self, blocks):
        super().__init__()
        self.blocks = blocks

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return x


def nested_block():
    inputs = keras.Input((6, WIDTH))
    return keras.Model(inputs, transform(inputs, Parts([[]])))


def of_blocks(blocks, make, stacked=False):
    """Each block is a layer or a model."""
    inputs = keras.Input((6,), dtype="int32")
    embedder, inner = Embedder(), [make() for _ in range(blocks)]
    x = embedder(inputs)
    for block in [Stack(inner)] if stacked else inner:
        x = block(x)
    norm, head = layers.LayerNormalization(), layers.Dense(2)
    model = keras.Model(inputs, head(norm(x)[:, 0]))
    return model, [[embedder], *([block] for block in inner[:-1]), [inner[-1], norm], [head]]


class Subclassed(keras.Model):
    def __init__(self, blocks):
        super().__init__()
        self.embedder = Embedder()
        self.blocks = [Block() for _ in range(blocks)]
        self.norm = layers.LayerNormalization()
        self.head = layers.Dense(2)

    def build(self, shape):
        self.query_tokens = self.add_weight(shape=(1, 1, WIDTH), name="query_token")
        super().build(shape)

    def call(self, x):
        x = self.embedder(x) + self.query_tokens
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


def subclassed(blocks):
    model = Subclassed(blocks)
    model(np.zeros((1, 6), "int32"))
    first = keras.layers.Identity()
    first._trainable_variables.append(model.query_tokens)
    inner = [[block] for block in model.blocks]
    inner[-1].append(model.norm)
    return model, [[first, model.embedder], *inner, [model.head]]


WAYS = {
    "vit": vit,
    "vit, norms behind": lambda n: vit(n, prenorm=False),
    "bert": bert,
    "translator": translator,
    "mixer": mixer,
    "side by side": side_by_side,
    "layers": lambda n: of_blocks(n, Block),
    "layers with positions": lambda n: of_blocks(n, RelativeBlock),
    "a layer of layers": lambda n: of_blocks(n, Block, stacked=True),
    "models": lambda n: of_blocks(n, nested_block),
    "subclassed": subclassed,
}


@pytest.mark.parametrize("way", WAYS)
def test_attention_and_feed_forward_are_one_block(way):
    agrees(*WAYS[way](3))


@pytest.mark.parametrize(
    ("way", "there"), [("vit", "vit_base_patch16_224"), ("mixer", "mixer_b16_224")]
)
def test_twelve_blocks_are_fourteen_groups_as_in_timm(way, there):
    (blocks,) = TIMM[there]
    model, _ = WAYS[way](blocks)
    assert len(keras_gdx.layer_groups(model)) == blocks + 2 == 14
    assert min(keras_gdx.layer_decay(model, 0.75).values()) == 0.75**13


def test_the_same_inside_another_model():
    model, expected = vit(2)
    inner = keras.Model(model.inputs, model.layers[-1].input)
    head = layers.Dense(2)
    agrees(keras.Sequential([inner, head]), [*expected[:-1], [head]])


# -- other models ------------------------------------------------------------------------------


def sequential(*shape_and_layers, dtype=None):
    shape, *parts = shape_and_layers
    return keras.Sequential([keras.Input(shape, dtype=dtype), *parts])


def test_hidden_layers_of_a_plain_network():
    a, norm, b, head = (
        layers.Dense(4),
        layers.BatchNormalization(),
        layers.Dense(4),
        layers.Dense(1),
    )
    agrees(sequential((2,), a, norm, layers.ReLU(), b, head), [[a, norm], [b], [head]])
    a, norm, b, c = (
        layers.Conv2D(4, 3),
        layers.BatchNormalization(),
        layers.Conv2D(4, 3),
        layers.Dense(4),
    )
    parts = a, norm, layers.MaxPooling2D(), b, layers.Flatten(), c, head
    head = layers.Dense(1)
    agrees(sequential((16, 16, 1), *parts[:-1], head), [[a, norm], [b], [c], [head]])
    agrees(sequential((2,), head := layers.Dense(1)), [[head]])


def test_recurrent_layers():
    words, head = layers.Embedding(9, 4), layers.Dense(1)
    first, second = layers.Bidirectional(layers.LSTM(3, return_sequences=True)), layers.GRU(3)
    model = sequential((6,), words, first, second, head, dtype="int32")
    agrees(model, [[words], [first], [second], [head]])


def test_a_block_of_convolutions_as_a_model():
    def block():
        return keras.Sequential([layers.Conv2D(4, 3), layers.ReLU(), layers.Conv2D(4, 3)])

    stem, blocks, head = layers.Conv2D(4, 3), [block() for _ in range(3)], layers.Dense(1)
    pool = layers.GlobalAveragePooling2D()
    model = sequential((20, 20, 1), stem, *blocks, pool, head)
    agrees(model, [[stem], *([block] for block in blocks), [head]])
    inner = sequential((20, 20, 1), stem, *blocks, pool)
    film = sequential((2, 20, 20, 1), layers.TimeDistributed(inner), head := layers.Dense(1))
    agrees(film, [[stem], *([block] for block in blocks), [head]])


def test_parallel_branches_are_counted_from_the_output():
    def tower(depth):
        return [layers.Dense(4) for _ in range(depth)]

    inputs, towers, head = (
        [keras.Input((2,)) for _ in range(2)],
        [tower(3), tower(1)],
        layers.Dense(1),
    )
    ends = [keras.Sequential(each)(x) for x, each in zip(inputs, towers, strict=True)]
    model = keras.Model(inputs, head(layers.Concatenate()(ends)))
    (a, b, c), (d,) = towers
    agrees(model, [[a], [b], [c, d], [head]])


def test_shared_layers():
    tower, head = [layers.Dense(2) for _ in range(2)], layers.Dense(1)
    both = keras.Sequential(tower)
    inputs = [keras.Input((2,)) for _ in range(2)]
    model = keras.Model(inputs, head(both(inputs[0]) - both(inputs[1])))
    agrees(model, [[tower[0]], [tower[1]], [head]])


class TiedEmbedding(layers.Layer):
    def build(self, shape):
        self.table = self.add_weight(shape=(9, 4), name="embeddings")

    def call(self, x, back=False):
        return x @ ops.transpose(self.table) if back else ops.take(self.table, x, axis=0)


def test_embeddings_that_make_the_output_too_are_at_the_bottom():
    words, hidden = TiedEmbedding(), layers.Dense(4)
    inputs = keras.Input((6,), dtype="int32")
    agrees(keras.Model(inputs, words(hidden(words(inputs)), back=True)), [[words], [hidden]])


def test_a_long_way_past_everything_makes_no_block():
    """A U-Net without residual blocks: each convolution is a group."""
    parts, skips = [], []

    def add(layer):
        parts.append([layer])
        return layer

    x = inputs = keras.Input((8, 8, 1))
    for width in (2, 4):
        skips.append(x := add(layers.Conv2D(width, 3, padding="same"))(x))
        x = layers.MaxPooling2D()(x)
    x = add(layers.Conv2D(4, 3, padding="same"))(x)
    for width in (4, 2):
        x = layers.Concatenate()([layers.UpSampling2D()(x), skips.pop()])
        x = add(layers.Conv2D(width, 3, padding="same"))(x)
    agrees(keras.Model(inputs, add(layers.Conv2D(1, 1))(x)), parts)


def test_frozen_and_low_rank_layers():
    """Frozen layers count, so that rates do not change when they are unfrozen."""
    parts = [layers.Dense(4, name=name) for name in "abc"]
    model = sequential((4,), *parts)
    before = keras_gdx.layer_decay(model, 0.5)
    parts[1].trainable = False
    after = keras_gdx.layer_decay(model, 0.5)
    assert after == {path: rate for path, rate in before.items() if "b/" not in path}
    assert before["^a/kernel$"] == after["^a/kernel$"] == 0.25
    parts[0].enable_lora(2)
    low = keras_gdx.layer_decay(model, 0.5)
    assert low["^a/lora_kernel_a$"] == low["^a/lora_kernel_b$"] == low["^a/bias$"] == 0.25
    assert "^a/kernel$" not in low


# -- what is public ----------------------------------------------------------------------------


def test_prints_as_a_table():
    parts = (
        layers.Dense(4, name="a"),
        layers.BatchNormalization(name="norm"),
        layers.Dense(1, name="b"),
    )
    groups = keras_gdx.layer_groups(sequential((2,), *parts))
    assert str(groups).splitlines() == ["0  a ... norm  4 variables", "1  b           2 variables"]
    assert groups[1].layers == ("b",)
    assert groups[1].variables == ("b/kernel", "b/bias")


def test_rates_reach_the_weights():
    model = application("MobileNet", alpha=0.25)
    model.compile(keras_gdx.create("sgd", model=model, learning_rate=1.0, layer_decay=0.5), "mse")
    model.optimizer.build(model.trainable_variables)
    rates = [facts.multiplier for facts in model.optimizer.state.specs]
    assert rates[0] == 0.5**14
    assert rates[-1] == 1.0
    assert sorted(rates) == rates


@pytest.mark.parametrize(
    "call", [keras_gdx.layer_groups, lambda x, **k: keras_gdx.layer_decay(x, 0.5, **k)]
)
def test_what_is_not_possible(call):
    for model, expected in (
        (keras.Sequential([layers.Dense(1)]), "built"),
        (sequential((2,), layers.ReLU()), "one with weights"),
        ("net", "a Keras model"),
        (None, "a Keras model"),
    ):
        with pytest.raises(ValueError, match=f"`model` must be {expected}"):
            call(model)
    with pytest.raises(ValueError, match="`by` must be 'blocks' or 'layers'"):
        call(sequential((2,), layers.Dense(1)), by="stages")


def test_a_rate_out_of_range_is_refused():
    for rate in wrong_values(Share):
        with pytest.raises(ValueError, match=r"`rate` must be a number in \(0, 1\]"):
            keras_gdx.layer_decay(sequential((2,), layers.Dense(1)), rate)
