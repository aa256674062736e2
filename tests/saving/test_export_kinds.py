"""Every kind of layer and loss of Keras is exported, and trains on as `fit` does.

A model has one output per kind, so that few models are traced, and a difference names its kind.
"""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, losses, ops

import keras_gdx
from tests.matrix import before_a_release

RNG = np.random.default_rng(0)
INPUTS = {
    "vector": RNG.normal(size=(3, 6)).astype("float32"),
    "sequence": RNG.normal(size=(3, 5, 2)).astype("float32"),
    "image": RNG.uniform(0, 255, (3, 8, 8, 3)).astype("float32"),
    "volume": RNG.normal(size=(3, 4, 4, 4, 1)).astype("float32"),
    "video": RNG.normal(size=(3, 2, 4, 4, 4, 1)).astype("float32"),
    "sound": RNG.normal(size=(3, 400, 1)).astype("float32"),
    "numbers": RNG.integers(0, 4, (3, 2)),
    "words": np.array(["a b", "b c a", "c"], object),
}
IMAGE = {"value_range": (0, 255)}
LAYERS = {  # by the input: the arguments of each layer
    "vector": {
        "Activation": {"activation": "tanh"},
        "ActivityRegularization": {"l2": 0.1},
        "AlphaDropout": {"rate": 0.5},
        "BatchNormalization": {},
        "Dense": {"units": 2},
        "Discretization": {"bin_boundaries": [-1.0, 0.0, 1.0]},
        "Dropout": {"rate": 0.5},
        "ELU": {},
        "EinsumDense": {"equation": "ab,bc->ac", "output_shape": 2},
        "Flatten": {},
        "GaussianDropout": {"rate": 0.5},
        "GaussianNoise": {"stddev": 0.5},
        "GroupNormalization": {"groups": 2},
        "Identity": {},
        "Lambda": {"function": lambda x: x * 2},
        "LayerNormalization": {},
        "LeakyReLU": {},
        "Normalization": {"mean": 1.0, "variance": 2.0},
        "PReLU": {},
        "Pipeline": {"layers": [layers.Rescaling(2.0)]},
        "RMSNormalization": {},
        "ReLU": {},
        "RepeatVector": {"n": 2},
        "Rescaling": {"scale": 0.5},
        "Reshape": {"target_shape": (3, 2)},
        "Softmax": {},
        "SpectralNormalization": {"layer": layers.Dense(2)},
        "UnitNormalization": {},
    },
    "sequence": {
        "Add": {},
        "AdditiveAttention": {},
        "Attention": {},
        "Average": {},
        "Concatenate": {},
        "Dot": {"axes": 1},
        "GroupQueryAttention": {"head_dim": 2, "num_query_heads": 2, "num_key_value_heads": 1},
        "Maximum": {},
        "Minimum": {},
        "MultiHeadAttention": {"num_heads": 2, "key_dim": 2},
        "Multiply": {},
        "Subtract": {},
        "AdaptiveAveragePooling1D": {"output_size": 2},
        "AdaptiveMaxPooling1D": {"output_size": 2},
        "AveragePooling1D": {"pool_size": 2},
        "Bidirectional": {"layer": layers.LSTM(2)},
        "Conv1D": {"filters": 2, "kernel_size": 2},
        "Conv1DTranspose": {"filters": 2, "kernel_size": 2},
        "Cropping1D": {},
        "DepthwiseConv1D": {"kernel_size": 2},
        "GRU": {"units": 2},
        "GlobalAveragePooling1D": {},
        "GlobalMaxPooling1D": {},
        "LSTM": {"units": 2, "dropout": 0.2, "recurrent_dropout": 0.1},
        "Masking": {},
        "MaxPooling1D": {},
        "Permute": {"dims": (2, 1)},
        "RNN": {"cell": [layers.GRUCell(2), layers.LSTMCell(2), layers.SimpleRNNCell(2)]},
        "SeparableConv1D": {"filters": 2, "kernel_size": 2},
        "SimpleRNN": {"units": 2},
        "SpatialDropout1D": {"rate": 0.5},
        "TimeDistributed": {"layer": layers.Dense(2)},
        "UpSampling1D": {},
        "ZeroPadding1D": {},
    },
    "image": {
        "AdaptiveAveragePooling2D": {"output_size": 2},
        "AdaptiveMaxPooling2D": {"output_size": 2},
        "AutoContrast": IMAGE,
        "AveragePooling2D": {"pool_size": 2},
        "CenterCrop": {"height": 4, "width": 4},
        "ContrastLimitedAdaptiveHistogramEqualization": IMAGE,
        "ConvLSTM1D": {"filters": 2, "kernel_size": 2},
        "Conv2D": {"filters": 2, "kernel_size": 2},
        "Conv2DTranspose": {"filters": 2, "kernel_size": 2},
        "Cropping2D": {},
        "CutMix": {},
        "DepthwiseConv2D": {"kernel_size": 2},
        "Equalization": IMAGE,
        "GlobalAveragePooling2D": {},
        "GlobalMaxPooling2D": {},
        "MaxPooling2D": {},
        "MixUp": {},
        "RandAugment": IMAGE,
        "RandomBrightness": {"factor": 0.5},
        "RandomColorDegeneration": {"factor": 0.5, **IMAGE},
        "RandomColorJitter": {"brightness_factor": 0.5, **IMAGE},
        "RandomContrast": {"factor": 0.5, **IMAGE},
        "RandomCrop": {"height": 4, "width": 4},
        "RandomErasing": IMAGE,
        "RandomFlip": {},
        "RandomGaussianBlur": IMAGE,
        "RandomGrayscale": {},
        "RandomHue": {"factor": 0.5, **IMAGE},
        "RandomInvert": IMAGE,
        "RandomPerspective": {},
        "RandomPosterization": {"factor": 4, **IMAGE},
        "RandomRotation": {"factor": 0.2},
        "RandomSaturation": {"factor": 0.5, **IMAGE},
        "RandomSharpness": {"factor": 0.5, **IMAGE},
        "RandomShear": {"x_factor": 0.2},
        "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.2},
        "RandomZoom": {"height_factor": 0.2},
        "Resizing": {"height": 4, "width": 4},
        "SeparableConv2D": {"filters": 2, "kernel_size": 2},
        "Solarization": IMAGE,
        "SpatialDropout2D": {"rate": 0.5},
        "UpSampling2D": {},
        "ZeroPadding2D": {},
    },
    "volume": {
        "AdaptiveAveragePooling3D": {"output_size": 2},
        "AdaptiveMaxPooling3D": {"output_size": 2},
        "AveragePooling3D": {"pool_size": 2},
        "Conv3D": {"filters": 2, "kernel_size": 2},
        "Conv3DTranspose": {"filters": 2, "kernel_size": 2},
        "ConvLSTM2D": {"filters": 2, "kernel_size": 2},
        "Cropping3D": {},
        "GlobalAveragePooling3D": {},
        "GlobalMaxPooling3D": {},
        "MaxPooling3D": {},
        "SpatialDropout3D": {"rate": 0.5},
        "UpSampling3D": {},
        "ZeroPadding3D": {},
    },
    "video": {"ConvLSTM3D": {"filters": 2, "kernel_size": 2}},
    "sound": {
        "MelSpectrogram": {"fft_length": 64, "num_mel_bins": 4, "sequence_stride": 32},
        "STFTSpectrogram": {"frame_length": 64, "frame_step": 32, "fft_length": 64, "window": None},
    },
    "numbers": {
        "CategoryEncoding": {"num_tokens": 4},
        "Embedding": {"input_dim": 4, "output_dim": 2},
        "HashedCrossing": {"num_bins": 3},
        "Hashing": {"num_bins": 3},
        "IntegerLookup": {"vocabulary": [1, 2]},
        "ReversibleEmbedding": {"input_dim": 4, "output_dim": 2},
    },
    "words": {
        "StringLookup": {"vocabulary": ["a b", "c"]},
        "TextVectorization": {"vocabulary": ["a", "b"], "output_sequence_length": 3},
    },
}
CALLS = {  # layers of several inputs, or of a part
    **dict.fromkeys(
        [
            *("Add", "AdditiveAttention", "Attention", "Average", "Concatenate", "Dot"),
            *("Maximum", "Minimum", "Multiply", "Subtract"),
        ],
        lambda layer, x: layer([x, x * 2]),
    ),
    "GroupQueryAttention": lambda layer, x: layer(x, x),
    "MultiHeadAttention": lambda layer, x: layer(x, x),
    "MelSpectrogram": lambda layer, x: layer(x[..., 0]),
    "HashedCrossing": lambda layer, x: layer((x[:, 0], x[:, 1])),
}
OTHER = {
    # not for models on TensorFlow, or bases of others
    *("FlaxLayer", "InputLayer", "InputSpec", "JaxLayer", "Layer", "MaxNumBoundingBoxes"),
    *("TFSMLayer", "TorchModuleWrapper", "Wrapper"),
    # inside the layer `RNN`
    *("GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells"),
    # `fit` too draws other numbers where it is traced, or the size of the batch is not known
    *("AugMix", "RandomElasticTransform"),
}
LABELS = np.array([1, 2, 0])
ONE_HOT = np.eye(3, dtype="float32")[LABELS]
LOSSES = {  # the arguments and the targets of each loss
    "BinaryCrossentropy": ({}, ONE_HOT),
    "BinaryFocalCrossentropy": ({}, ONE_HOT),
    "CTC": ({}, np.array([[1, 2], [2, 2], [1, 0]])),
    "CategoricalCrossentropy": ({}, ONE_HOT),
    "CategoricalFocalCrossentropy": ({}, ONE_HOT),
    "CategoricalGeneralizedCrossEntropy": ({}, LABELS),
    "CategoricalHinge": ({}, ONE_HOT),
    "Circle": ({}, np.array([1, 1, 0])),
    "CosineSimilarity": ({}, ONE_HOT),
    "Dice": ({}, ONE_HOT),
    "Hinge": ({}, ONE_HOT),
    "Huber": ({}, ONE_HOT),
    "KLDivergence": ({}, ONE_HOT),
    "LogCosh": ({}, ONE_HOT),
    "MeanAbsoluteError": ({}, ONE_HOT),
    "MeanAbsolutePercentageError": ({}, ONE_HOT + 1),
    "MeanSquaredError": ({}, ONE_HOT),
    "MeanSquaredLogarithmicError": ({}, ONE_HOT),
    "Poisson": ({}, ONE_HOT),
    "SparseCategoricalCrossentropy": ({"name": "classes"}, LABELS),
    "SquaredHinge": ({}, ONE_HOT),
    "Tversky": ({}, ONE_HOT),
}


def goes_on_elsewhere(net, x, y, folder):
    """Asserts that two exported steps have the logs of `fit`, and serve its predictions."""
    keras_gdx.export(net, folder)
    loaded = tf.saved_model.load(folder)
    x, y = ({k: tf.constant(v) for k, v in part.items()} for part in (x, y))
    logs = [loaded.train_step(x, y, 0.01) for _ in range(2)]
    served = loaded.serve(x)
    net.run_eagerly = True  # in a test, tracing costs more
    there = {f"{k} in step {i}": v for i, log in enumerate(logs) for k, v in log.items()}
    history = net.fit(x, y, batch_size=3, epochs=2, shuffle=False, verbose=0).history
    here = {f"{k} in step {i}": v for k, values in history.items() for i, v in enumerate(values)}
    there |= served
    here |= net.predict(x, verbose=0)
    assert there.keys() == here.keys()
    assert not [k for k in here if not np.allclose(there[k], here[k], rtol=1e-4, atol=1e-5)]


@pytest.mark.parametrize(
    "kinds",
    [
        ("vector", "numbers", "words"),
        pytest.param(("sequence", "sound"), marks=before_a_release),
        pytest.param(("image",), marks=before_a_release),
        pytest.param(("volume", "video"), marks=before_a_release),
    ],
    ids="-".join,
)
def test_layers(kinds, tmp_path):
    x = {kind: INPUTS[kind] for kind in kinds}
    inputs = {
        k: keras.Input(v.shape[1:], dtype="string" if v.dtype == object else v.dtype.name, name=k)
        for k, v in x.items()
    }
    outputs = {
        name: mean(CALLS.get(name, call)(getattr(layers, name)(**arguments), inputs[kind]))
        for kind in kinds
        for name, arguments in LAYERS[kind].items()
        if hasattr(layers, name)  # in this Keras
    }
    net = keras.Model(inputs, outputs)
    net.compile(keras_gdx.optimizers.SGD(0.01), "mse")
    goes_on_elsewhere(net, x, dict.fromkeys(outputs, np.ones(3, "float32")), str(tmp_path))


def call(layer, x):
    return layer(x)


def mean(x):
    x = ops.cast(x, "float32")
    return ops.mean(x, axis=range(1, len(x.shape)))


def test_losses(tmp_path):
    present = {name: v for name, v in LOSSES.items() if hasattr(losses, name)}  # in this Keras
    x = {"vector": INPUTS["vector"]}
    vector = keras.Input((6,), name="vector")
    outputs = {name: layers.Dense(3, "softmax")(vector) for name in present}
    outputs["CTC"] = layers.Reshape((5, 3))(layers.Dense(15)(vector))
    net = keras.Model({"vector": vector}, outputs)
    compiled = {name: getattr(losses, name)(**kwargs) for name, (kwargs, _) in present.items()}
    net.compile(keras_gdx.optimizers.SGD(0.01), compiled)
    goes_on_elsewhere(net, x, {name: y for name, (_, y) in present.items()}, str(tmp_path))


@pytest.mark.parametrize(
    ("module", "known"),
    [
        (layers, {name for kind in LAYERS.values() for name in kind} | OTHER),
        (losses, {*LOSSES, "Loss"}),
    ],
    ids=["layers", "losses"],
)
def test_the_tables_are_complete(module, known):
    named = {k for k, v in vars(module).items() if inspect.isclass(v) and v.__name__ == k}
    assert named - known == set()
