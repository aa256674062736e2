"""`regularizers.apply` takes effect immediately, and saved models keep the regularizer."""

import warnings

import keras
import numpy as np
import pytest
from keras import Input, layers

from keras_gdx.regularizers import GroupLasso, Lp, apply

RATE = 0.1


@keras.saving.register_keras_serializable("tests")
class Forgetful(keras.Model):
    """Makes its layers itself, as subclassed models do."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.body = keras.Sequential([layers.Dense(units), layers.ReLU()])
        self.heads = {"a": layers.Dense(1), "b": [layers.Dense(1)]}

    def call(self, x):
        x = self.body(x)
        return self.heads["a"](x) + self.heads["b"][0](x)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("tests")
class Mindful(keras.Model):
    """Receives its layers, and saves them."""

    def __init__(self, body, head, **kwargs):
        super().__init__(**kwargs)
        self.body = body
        self.head = head

    def call(self, x):
        return self.head(self.body(x))

    def get_config(self):
        parts = {"body": self.body, "head": self.head}
        packed = {k: keras.saving.serialize_keras_object(v) for k, v in parts.items()}
        return {**super().get_config(), **packed}

    @classmethod
    def from_config(cls, config):
        parts = {k: keras.saving.deserialize_keras_object(config.pop(k)) for k in ("body", "head")}
        return cls(**parts, **config)


@keras.saving.register_keras_serializable("tests")
class Custom(layers.Layer):
    """A layer that does not support regularizers."""

    def build(self, shape):
        self.mixing = self.add_weight(shape=(shape[-1], 1), name="mixing")

    def call(self, x):
        return x @ self.mixing


def functional():
    x = Input((3,))
    return keras.Model(x, layers.Dense(1)(layers.Dense(4, activation="relu")(x)))


def nested():
    x = Input((3,))
    return keras.Model(x, layers.Dense(1)(functional()(keras.Sequential([layers.Dense(3)])(x))))


def subclassed():
    return Forgetful(4)


def mindful():
    return Mindful(layers.Dense(4), layers.Dense(1))


MODELS = [functional, nested, mindful, subclassed]


def compiled(make, **options):
    model = make()
    model.compile(keras.optimizers.SGD(RATE), "mse", **options)
    model.fit(*nothing(), verbose=0)
    model.evaluate(*nothing(), verbose=0)
    return model


def nothing():
    """Data with zero loss and zero gradients, as long as biases are zero."""
    return np.zeros((2, 3)), np.zeros((2, 1))


def kernels(model):
    return [v for v in model.trainable_variables if v.name == "kernel"]


def quietly(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return apply(*arguments, **options)


def assert_in_force(model, regularizer, slope):
    """The loss is the penalty, and a step descends its gradient."""
    before = [keras.ops.convert_to_numpy(v) for v in kernels(model)]
    penalty = sum(float(regularizer(v)) for v in kernels(model))
    assert penalty > 0
    np.testing.assert_allclose(model.evaluate(*nothing(), verbose=0), penalty, rtol=1e-5)
    np.testing.assert_allclose(model.train_on_batch(*nothing()), penalty, rtol=1e-5)
    for old, new in zip(before, kernels(model), strict=True):
        new = keras.ops.convert_to_numpy(new)
        np.testing.assert_allclose(new, old - RATE * slope(old), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", MODELS)
def test_counts_from_the_next_batch_on(make):
    model = compiled(make)
    assert model.evaluate(*nothing(), verbose=0) == 0
    weights = model.get_weights()
    paths = quietly(model, Lp(2, 0.5))
    assert paths == [v.path for v in kernels(model)]
    np.testing.assert_equal(model.get_weights(), weights)
    assert_in_force(model, Lp(2, 0.5), lambda w: 0.5 * w)


@pytest.mark.parametrize("jit_compile", [True, False], ids=["xla", "graph"])
def test_counts_in_a_step_compiled_before(jit_compile):
    model = compiled(functional, jit_compile=jit_compile)
    apply(model, Lp(3, 0.5))
    assert_in_force(model, Lp(3, 0.5), lambda w: 0.5 * w * np.abs(w))


@pytest.mark.parametrize("make", [functional, nested, mindful])
def test_survives_saving(make, tmp_path):
    model = compiled(make)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        apply(model, Lp(2, 0.5))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert [type(v.regularizer) for v in kernels(again)] == [Lp] * len(kernels(model))
    assert_in_force(again, Lp(2, 0.5), lambda w: 0.5 * w)


@pytest.mark.parametrize("make", [functional, nested, mindful])
def test_works_on_a_loaded_model(make, tmp_path):
    compiled(make).save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    apply(again, GroupLasso(0.5))
    again.save(tmp_path / "again.keras")
    for model in (again, keras.models.load_model(tmp_path / "again.keras")):
        assert len(model.losses) == len(kernels(model))
        assert all(repr(v.regularizer) == repr(GroupLasso(0.5)) for v in kernels(model))


def test_names_the_variables_that_a_file_forgets(tmp_path):
    model = compiled(subclassed)
    with pytest.warns(UserWarning, match="a saved model will not have it") as warned:
        paths = apply(model, Lp(2, 0.5))
    assert warned[0].filename == __file__
    assert all(path in str(warned[0].message) for path in paths)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert not again.losses  # as the warning said
    quietly(again, Lp(2, 0.5))
    assert_in_force(again, Lp(2, 0.5), lambda w: 0.5 * w)


def test_names_only_those():
    model = keras.Sequential([Input((3,)), layers.Dense(2), Custom()])
    with pytest.warns(UserWarning, match=r"for \S*custom/mixing: ") as warned:
        apply(model, Lp(1.5))
    assert "dense" not in str(warned[0].message)


def test_a_model_that_cannot_be_saved_can_be_regularized():
    class Closed(keras.Model):
        def __init__(self, make):
            super().__init__()
            self.layer = make()

        def call(self, x):
            return self.layer(x)

        def get_config(self):
            raise NotImplementedError

    model = Closed(lambda: layers.Dense(1))
    model(np.zeros((1, 3)))
    with pytest.warns(UserWarning, match="kernel"):
        apply(model, "l2")
    assert len(model.losses) == 1
    assert isinstance(model.layer.kernel_regularizer, keras.regularizers.L2)


def attention(make):
    x = Input((4, 8))
    return keras.Model(x, make(x, x))


def wrapped(*parts):
    return keras.Sequential(list(parts))


IMAGE, SEQUENCE = (8, 8, 2), (4, 3)
KEEPERS = {
    "einsum": lambda: wrapped(Input((3,)), layers.EinsumDense("ab,bc->ac", 4)),
    "conv": lambda: wrapped(Input(IMAGE), layers.Conv2D(2, 3)),
    "transposed": lambda: wrapped(Input(IMAGE), layers.Conv2DTranspose(2, 3)),
    "depthwise": lambda: wrapped(Input(IMAGE), layers.DepthwiseConv2D(3)),
    "separable": lambda: wrapped(Input(IMAGE), layers.SeparableConv2D(2, 3)),
    "embedding": lambda: wrapped(Input((3,)), layers.Embedding(5, 2)),
    "lstm": lambda: wrapped(Input(SEQUENCE), layers.LSTM(2)),
    "gru": lambda: wrapped(Input(SEQUENCE), layers.GRU(2)),
    "cells": lambda: wrapped(
        Input(SEQUENCE), layers.RNN([layers.GRUCell(2), layers.SimpleRNNCell(3)])
    ),
    "bidirectional": lambda: wrapped(Input(SEQUENCE), layers.Bidirectional(layers.GRU(2))),
    "distributed": lambda: wrapped(Input(SEQUENCE), layers.TimeDistributed(layers.Dense(2))),
    "attention": lambda: attention(layers.MultiHeadAttention(2, 4)),
    "grouped": lambda: attention(layers.GroupQueryAttention(4, 2, 1)),
}


@pytest.mark.parametrize("make", KEEPERS.values(), ids=KEEPERS)
def test_layers_of_keras_keep_it(make):
    model = make()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        paths = apply(model, Lp(1.5, 0.2))
    assert not any("bias" in path for path in paths)
    clone = keras.models.clone_model(model)
    kept = [v.regularizer is not None for v in clone.trainable_variables]
    assert kept == [v.regularizer is not None for v in model.trainable_variables]
    assert sum(kept) == len(paths) == len(model.losses) == len(clone.losses)


def test_part_of_an_attention_layer_is_not_kept():
    """The layer has one regularizer for all its kernels."""
    model = attention(layers.MultiHeadAttention(2, 4))
    with pytest.warns(UserWarning, match="query/kernel: "):
        paths = apply(model, Lp(1.5), include="query/kernel$")
    assert len(paths) == len(model.losses) == 1
    assert not keras.models.clone_model(model).losses


def test_patterns():
    model = keras.Sequential(
        [
            Input((8, 4)),
            layers.Dense(4, name="first"),
            layers.BatchNormalization(name="norm"),
            layers.Dense(1, name="last"),
        ],
        name="net",
    )

    def chosen(**patterns):
        return [path.removeprefix("net/") for path in apply(model, Lp(1), **patterns)]

    assert chosen() == ["first/kernel", "last/kernel"]
    assert chosen(include="first") == ["first/kernel", "first/bias"]
    assert chosen(include="gamma$") == ["norm/gamma"]
    assert chosen(exclude="last") == ["first/kernel"]
    assert chosen(include="kernel|bias", exclude="first|norm") == ["last/kernel", "last/bias"]
    model.get_layer("first").trainable = False
    assert chosen() == ["last/kernel"]


def test_replaces_and_takes_off():
    model = compiled(lambda: keras.Sequential([Input((3,)), layers.Dense(1, "relu", True)]))
    for regularizer, count in [("l2", 1), (Lp(1), 1), (None, 0)]:
        apply(model, regularizer)
        assert len(model.losses) == len(keras.models.clone_model(model).losses) == count
    assert model.evaluate(*nothing(), verbose=0) == 0


def test_says_what_is_wrong():
    model = functional()
    with pytest.raises(ValueError, match=r"include='conv'.*trainable variables are: .*/kernel"):
        apply(model, Lp(1), include="conv")
    with pytest.raises(ValueError, match="select no variable"):
        apply(model, Lp(1), exclude=".")
    with pytest.raises(ValueError, match="`include` must be None or a regular expression"):
        apply(model, Lp(1), include="*kernel")
    with pytest.raises(ValueError, match="`exclude` must be None or a regular expression"):
        apply(model, Lp(1), exclude=3)
    with pytest.raises(ValueError, match="`model` must be built"):
        apply(Forgetful(4), Lp(1))
    with pytest.raises(ValueError, match="`model` must be built"):
        apply(keras.Sequential([layers.Dense(1)]), Lp(1))
    with pytest.raises(ValueError, match=r"`model` must be a `keras\.Model`"):
        apply(layers.Dense(1), Lp(1))
    with pytest.raises(ValueError, match="regularizer"):
        apply(model, "l7")
    assert not model.losses
