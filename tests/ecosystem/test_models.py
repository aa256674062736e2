"""Models of KerasHub and KerasRS, with random weights, train with our rules and callbacks."""

import keras
import numpy as np
import pytest

import keras_gdx
from keras_gdx import optimizers, regularizers, schedules
from keras_gdx.callbacks import (
    GradientMonitor,
    ResumableCheckpoint,
    StepEvaluator,
    Unfreezing,
    WeightAverager,
)

pytestmark = pytest.mark.ecosystem
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
rng = np.random.default_rng(0)
TEXT = {"token_ids": rng.integers(0, 50, (32, 8)), "padding_mask": np.ones((32, 8), "int32")}
SHAPE = {
    "vocabulary_size": 50, "num_layers": 1, "num_heads": 2, "hidden_dim": 16,
    "intermediate_dim": 32, "max_sequence_length": 8,
}  # fmt: skip


@pytest.fixture
def hub():
    return pytest.importorskip("keras_hub").models


def test_a_text_classifier(hub, tmp_path):
    """Muon finds the matrices; an interrupted run resumes exactly."""
    x = TEXT | {"segment_ids": np.zeros((32, 8), "int32")}
    y = rng.integers(0, 2, 32)

    def made():
        keras.utils.set_random_seed(0)
        model = hub.BertTextClassifier(hub.BertBackbone(**SHAPE), num_classes=2)
        depth = keras_gdx.layer_decay(model, 0.8)
        rate = schedules.create("cosine", 0.02, warmup=0.1)
        options = {"weight_decay": 0.1, "no_decay": "auto", "lr_multipliers": depth}
        model.compile(optimizers.Muon(rate, **options), LOSS)
        return model

    def fit(model, epochs, *more):
        callbacks = [WeightAverager("ema"), GradientMonitor((x, y), every=4), *more]
        options = {"batch_size": 8, "shuffle": False, "verbose": 0}
        model.fit(x, y, epochs=epochs, callbacks=callbacks, **options)
        return model.get_weights()

    def interrupt(epoch, logs=None):
        if epoch == 0:
            raise KeyboardInterrupt

    model = made()
    expected = fit(model, 2)
    slots = {v.path.partition("/")[2] for v in model.optimizer.variables}
    adams = {name.removesuffix("_velocity") for name in slots if name.endswith("_velocity")}
    kernels = {n.removesuffix("_momentum") for n in slots if n.endswith("_kernel_momentum")} - adams
    assert kernels == {
        f"transformer_layer_0_{name}_kernel"
        for name in (
            "self_attention_layer_query", "self_attention_layer_key",
            "self_attention_layer_value", "self_attention_layer_attention_output",
            "feedforward_intermediate_dense", "feedforward_output_dense",
        )
    } | {"pooled_dense_kernel"}  # fmt: skip
    assert adams >= {"token_embedding_embeddings", "logits_kernel"}
    failing = keras.callbacks.LambdaCallback(on_epoch_end=interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit(made(), 2, ResumableCheckpoint(tmp_path), failing)
    for one, other in zip(fit(made(), 2, ResumableCheckpoint(tmp_path)), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_language_model_and_its_adapters(hub):
    y = rng.integers(0, 50, (32, 8))
    backbone = hub.GPT2Backbone(**SHAPE)
    model = hub.GPT2CausalLM(backbone, preprocessor=None)
    rule = optimizers.AdamW(0.01, use_ema=True, gradient_accumulation_steps=2, no_decay="auto")
    model.compile(rule, LOSS)
    evaluator = StepEvaluator((TEXT, y), every=2)
    options = {"batch_size": 8, "verbose": 0}
    losses = model.fit(TEXT, y, epochs=3, callbacks=[evaluator], **options).history["loss"]
    assert losses[-1] < losses[0]
    assert len(evaluator.history) == 6
    backbone.enable_lora(2)
    model.compile("adopt", LOSS)
    frozen = [w.numpy() for w in model.non_trainable_weights]
    model.fit(TEXT, y, epochs=1, **options)
    assert sum("lora" in v.path for v in model.trainable_variables) == 4
    for before, weight in zip(frozen, model.non_trainable_weights, strict=True):
        np.testing.assert_array_equal(weight, before)


def test_an_image_classifier(hub):
    images, y = rng.normal(size=(24, 16, 16, 3)).astype("float32"), rng.integers(0, 3, 24)
    backbone = hub.ViTBackbone(
        image_shape=(16, 16, 3), patch_size=(8, 8), num_layers=1, num_heads=2, hidden_dim=16,
        mlp_dim=32,
    )  # fmt: skip
    model = hub.ViTImageClassifier(backbone, num_classes=3, preprocessor=None)
    with pytest.warns(UserWarning, match="Apply it again after loading"):
        regularizers.apply(model, regularizers.L2(1e-4))
    model.compile(keras_gdx.create("adamw", model, learning_rate=1e-3, no_decay="auto"), LOSS)
    start = [v.numpy() for v in backbone.weights]
    unfreezing = Unfreezing({0: "predictions", 1: ".*"})
    model.fit(images, y, batch_size=8, epochs=1, verbose=0, callbacks=[unfreezing])
    for before, weight in zip(start, backbone.weights, strict=True):
        np.testing.assert_array_equal(weight, before)  # the first epoch trains the head alone
    assert model.losses


def test_a_ranking_model(tmp_path):
    """A model of one's own with a layer of KerasRS, and a table whose rows are updated lazily."""
    rs = pytest.importorskip("keras_rs")

    class Ranker(keras.Model):
        def __init__(self):
            super().__init__()
            self.table = keras.layers.Embedding(100, 4)
            self.cross = rs.layers.FeatureCross()
            self.head = keras.layers.Dense(1)

        def call(self, x):
            both = keras.ops.reshape(self.table(x), (-1, 8))
            return self.head(self.cross(both, both))

    model = Ranker()
    table = optimizers.Adagrad(0.1)
    model.compile(optimizers.Partition({"embeddings": table}, sparse="lazy"), "mse")
    x, y = rng.integers(0, 90, (64, 2)), rng.normal(size=(64, 1))
    model(x)
    before = model.table.embeddings.numpy()
    callbacks = [WeightAverager("ema"), ResumableCheckpoint(tmp_path)]
    losses = model.fit(x, y, epochs=3, verbose=0, callbacks=callbacks).history["loss"]
    assert losses[-1] < losses[0]
    np.testing.assert_array_equal(model.table.embeddings[90:], before[90:])  # were never looked up
