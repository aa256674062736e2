"""Defects of Keras: rules that differ from their papers."""

import keras
import numpy as np
import pytest

import keras_gdx
from tests.defects.harness import Steps, keras_shows, same

SIDE = 512


def state_per_parameter(adafactor):
    """State values per weight of a square matrix, without scalars."""
    optimizer = adafactor()
    optimizer.build([keras.Variable(np.zeros((SIDE, SIDE), "float32"), name="kernel")])
    shapes = [tuple(v.shape) for v in optimizer.variables if v.name != "hyperparameters"]
    return sum(np.prod(shape) for shape in shapes if shape) / SIDE**2


ROWS_AND_COLUMNS = 2 / SIDE


def test_keras_d11_adafactor_keeps_a_whole_second_moment():
    wrong, right = 1 + ROWS_AND_COLUMNS, ROWS_AND_COLUMNS
    keras_shows(wrong, right, state_per_parameter, keras.optimizers.Adafactor)


def test_ours_d11_adafactor_keeps_rows_and_columns():
    assert same(state_per_parameter(keras_gdx.optimizers.Adafactor), ROWS_AND_COLUMNS)


def trusted_step(lamb):
    """The length of a step at rate 0.1 with decay 1, divided by that of the weights (3, 4)."""
    steps = Steps(lambda: lamb(0.1, weight_decay=1.0), start=[3.0, 4.0])
    return np.linalg.norm(steps.moved([1.0, 1.0])) / 5


def test_keras_d12_lamb_decays_outside_the_trust_ratio():
    # The weights lose a tenth, and then the same length along (1, 1).
    wrong = np.linalg.norm([0.3 + 0.45 * 0.5**0.5, 0.4 + 0.45 * 0.5**0.5]) / 5
    keras_shows(wrong, 0.1, trusted_step, keras.optimizers.Lamb)


def test_ours_d12_lamb_decays_inside_the_trust_ratio():
    assert same(trusted_step(keras_gdx.optimizers.LAMB), 0.1)


class Lookup(keras.layers.Layer):
    """An embedding whose variable has another name."""

    def build(self, shape):
        self.table = self.add_weight(shape=(7, 8), name="table")

    def call(self, tokens):
        return keras.ops.take(self.table, tokens, axis=0)


class TokenEmbedding(Lookup):
    """The same, in a class that declares its role."""


def orthogonalized(muon):
    """The paths of the matrices whose first step has nearly equal singular values."""
    layers = keras.layers
    tokens = keras.Input((16,), dtype="int32")
    x = TokenEmbedding(name="tokens")(tokens)
    x = layers.MultiHeadAttention(2, 4, use_bias=False, name="attention")(x, x)
    x = layers.Reshape((4, 4, 8))(x)
    x = layers.Conv2D(6, 2, use_bias=False, name="convolution")(x)
    x = layers.Flatten()(x)
    x = layers.Dense(5, use_bias=False, name="embedding_mixer")(x)
    model = keras.Model(tokens, layers.Dense(3, use_bias=False, name="head")(x))
    model.compile(muon(learning_rate=1.0), "mse")
    weights = model.trainable_variables
    # All positive, so that the signs, which Adam follows at first, are a matrix of rank one.
    noise = np.random.default_rng(0)
    gradients = [noise.uniform(0.1, 1.0, w.shape).astype("float32") for w in weights]
    before = [w.numpy() for w in weights]
    model.optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients], weights)
    found = set()
    for w, old in zip(weights, before, strict=True):
        outputs = {"attention": 8}.get(w.path.partition("/")[0], w.shape[-1])
        spread = np.linalg.svd((w.numpy() - old).reshape(-1, outputs), compute_uv=False)
        if spread.min() > 0.4 * spread.max():
            found.add(w.path.removesuffix("/kernel"))
    return found


MATRICES = {f"attention/{name}" for name in ("query", "key", "value", "attention_output")}
MATRICES |= {"convolution", "embedding_mixer"}


@pytest.mark.skipif(not hasattr(keras.optimizers, "Muon"), reason="no Muon in this Keras")
def test_keras_d22_muon_leaves_convolutions_and_finds_embeddings_by_name():
    # Keras 3.12's does not run on TensorFlow at all.
    wrong = AttributeError if keras.__version__ < "3.13" else {"tokens/table", "head"}
    keras_shows(wrong, MATRICES, orthogonalized, keras.optimizers.Muon)


def test_ours_d22_muon_takes_the_matrices_of_the_model():
    assert orthogonalized(keras_gdx.optimizers.Muon) == MATRICES
