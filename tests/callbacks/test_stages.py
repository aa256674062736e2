"""Changes in stages: which layers are trained, how many batches make an update."""

import keras
import numpy as np
import pytest

from keras_gdx import optimizers, schedules
from keras_gdx.callbacks import BatchSizeSchedule, Unfreezing

X = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")
Y = X.sum(axis=1, keepdims=True)


def network(optimizer, functional=False, **options):
    body = keras.Sequential(
        [
            keras.layers.Dense(6, name="low"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dense(6, name="high"),
        ],
        name="body",
    )
    if functional:
        inputs = keras.Input((4,))
        outputs = inputs
        for layer in body.layers:
            outputs = layer(outputs)
        body = keras.Model(inputs, outputs, name="body")
    head = keras.layers.Dense(1, name="head")
    model = keras.Sequential([keras.Input((4,)), body, head])
    if functional:
        inputs = keras.Input((4,))
        model = keras.Model(inputs, head(body(inputs)))
    model.compile(optimizer, "mse", **options)
    return model


class Weights(keras.callbacks.Callback):
    """The layers that changed in each epoch."""

    def on_train_begin(self, logs=None):
        self.moved, self.before = [], self._read()

    def on_epoch_end(self, epoch, logs=None):
        now = self._read()
        self.moved.append({name for name in now if now[name] != self.before[name]})
        self.before = now

    def _read(self):
        body, head = self.model.layers[-2:]
        layers = {layer.name: layer for layer in (*body.layers, head) if layer.weights}
        return {name: [w.tolist() for w in layer.get_weights()] for name, layer in layers.items()}


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("optimizer", [optimizers.AdamW, keras.optimizers.AdamW])
def test_layers_join_in_time(optimizer, jit):
    watch = Weights()
    model = network(optimizer(0.01), jit_compile=jit)
    stages = Unfreezing({0: "head", 2: "high", 3: "low|norm"})
    model.fit(X, Y, epochs=4, batch_size=8, verbose=0, callbacks=[watch, stages])
    everything = {"head", "high", "low", "norm"}
    assert watch.moved == [{"head"}, {"head"}, {"head", "high"}, everything]


def test_excluded_and_unnamed_layers_stay_as_they_are():
    watch, model = Weights(), network("sgd")
    model.layers[0].layers[1].trainable = False
    stages = Unfreezing({1: "body|low|high|norm"}, exclude="norm/")
    model.fit(X, Y, epochs=2, batch_size=8, verbose=0, callbacks=[watch, stages])
    assert watch.moved == [{"head"}, {"head", "high", "low"}]


@pytest.mark.parametrize("functional", [False, True])
def test_frozen_layers_that_nothing_names_stay_frozen(functional):
    watch, model = Weights(), network("sgd", functional)
    low, norm, _ = model.layers[-2].layers[-3:]
    low.trainable = norm.trainable = False
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[watch, Unfreezing({0: "head", 1: "high"})])
    assert watch.moved == [{"head"}, {"head", "high"}]
    assert not low.trainable
    assert not norm.trainable


@pytest.mark.parametrize("functional", [False, True])
def test_a_body_that_was_frozen_as_a_whole(functional):
    watch, model = Weights(), network("sgd", functional)
    model.layers[-2].trainable = False
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[watch, Unfreezing({0: "head", 1: "high"})])
    assert watch.moved == [{"head"}, {"head", "high"}]


def test_validation_has_the_penalties_of_what_is_trained():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(1, name="body", use_bias=False, kernel_regularizer="l2"),
            keras.layers.Dense(1, name="head"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.0), "mse")
    stages = {"callbacks": [Unfreezing({0: "head", 1: "body"})], "validation_data": (X, Y)}
    losses = model.fit(X, Y, epochs=2, verbose=0, **stages).history["val_loss"]
    penalty = 0.01 * np.sum(model.layers[0].get_weights()[0] ** 2)
    assert losses[1] - losses[0] == pytest.approx(penalty, rel=1e-4)


def test_going_on_is_in_the_right_stage():
    watch, model = Weights(), network("sgd")
    stages = Unfreezing({0: "head", 2: "high"}, exclude="norm")
    options = {"batch_size": 8, "verbose": 0, "callbacks": [watch, stages]}
    model.layers[0].layers[0].trainable = False
    model.layers[0].layers[1].trainable = False
    model.fit(X, Y, epochs=1, **options)
    model.fit(X, Y, epochs=3, initial_epoch=2, **options)
    assert watch.moved == [{"head", "high"}]


def test_two_replicas(mirrored):
    with mirrored.scope():
        model = network(optimizers.SGD(0.01))
    watch, stages = Weights(), Unfreezing({0: "head", 1: "high|low|norm"})
    model.fit(X, Y, epochs=2, batch_size=8, verbose=0, callbacks=[watch, stages])
    assert watch.moved == [{"head"}, {"head", "high", "low", "norm"}]


def test_bad_stages():
    for stages in ({}, {0: "("}, {-1: "head"}, ["head"]):
        with pytest.raises(ValueError, match="stages"):
            Unfreezing(stages)
    with pytest.raises(ValueError, match="found in the paths"):
        network("sgd").fit(X, Y, verbose=0, callbacks=[Unfreezing({0: "nowhere"})])
    model = network(optimizers.SGD(0.01))
    model.layers[0].trainable = False
    model.fit(X, Y, verbose=0)
    with pytest.raises(ValueError, match="Compile the model again"):
        model.fit(X, Y, verbose=0, callbacks=[Unfreezing({0: "head", 1: "low"})])
    assert [v.path.split("/")[-2] for v in model.trainable_variables] == ["head", "head"]


def linear(optimizer):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile(optimizer, "mse")
    return model


@pytest.mark.parametrize("jit", [False, True])
def test_larger_batches_are_larger_batches(jit):
    options = {"shuffle": False, "verbose": 0}
    small = linear(optimizers.Adam(0.01, gradient_accumulation_steps=1))
    small.jit_compile = jit
    grow = BatchSizeSchedule({1: 3, 2: 2})
    found = small.fit(X, Y, batch_size=4, epochs=3, callbacks=[grow], **options)
    large = linear(optimizers.Adam(0.01))
    for size in (4, 12, 8):
        large.fit(X, Y, batch_size=size, **options)
    for a, b in zip(small.get_weights(), large.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    assert found.history["batches_per_update"] == [1, 3, 2]
    assert int(small.optimizer.iterations.numpy()) == 6 + 2 + 3


def test_schedules_count_the_updates_there_will_be():
    rate = schedules.create("linear", 1.0, warmup=0)
    model = linear(optimizers.SGD(rate, gradient_accumulation_steps=2))
    grow = BatchSizeSchedule({1: 3})
    model.fit(X, Y, batch_size=4, epochs=3, verbose=0, callbacks=[grow])
    assert float(rate(3 + 2 + 2)) == 0
    assert float(rate(3 + 2 + 1)) > 0


def test_bad_batches():
    for milestones in ({}, {0: 0}, {-1: 2}, {0: 1.5}, 4):
        with pytest.raises(ValueError, match="milestones"):
            BatchSizeSchedule(milestones)
    for optimizer in ("sgd", optimizers.SGD(0.1)):
        with pytest.raises(ValueError, match="gradient_accumulation_steps"):
            linear(optimizer).fit(X, Y, verbose=0, callbacks=[BatchSizeSchedule({0: 2})])
    optimizer = optimizers.SGD(0.1, gradient_accumulation_steps=2)
    linear(optimizer).fit(X, Y, verbose=0)
    for wrong in (0, 1.5, "2"):
        with pytest.raises(ValueError, match="gradient_accumulation_steps"):
            optimizer.gradient_accumulation_steps = wrong
