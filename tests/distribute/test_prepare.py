"""A prepared model on two replicas equals the model on one device with the same global batch."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from tensorflow.python.ops import control_flow_util

from keras_gdx import distribute, optimizers, regularizers
from tests.distribute.jobs import (
    JOBS,
    X,
    Y,
    assert_same,
    dense,
    of_keras,
    ours,
    plain,
    run,
    scalar,
    scaled,
)


@pytest.mark.parametrize("job", JOBS)
def test_two_replicas_equal_one(job, mirrored):
    assert_same(run(job, mirrored), run(job))


def model_on(strategy, *parts, optimizer=plain, loss="mse", **options):
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = keras.Sequential([keras.Input((6,)), *parts])
        model.compile(optimizer(), loss, **options)
    return distribute.prepare(model)


def test_statistics_are_the_mean_over_replicas(mirrored):
    model = model_on(mirrored, layers.BatchNormalization(momentum=0.5), layers.Dense(2))
    model.fit(X[:17], Y[:17], batch_size=16, shuffle=False, verbose=0, epochs=1)
    copies = mirrored.experimental_local_results(model.layers[0].moving_mean.value)
    np.testing.assert_array_equal(*(np.asarray(c) for c in copies))
    first, second = np.zeros(6), np.zeros(6)
    first = 0.5 * first + 0.5 * X[:8].mean(0)
    second = 0.5 * second + 0.5 * X[8:16].mean(0)
    first = 0.5 * first + 0.5 * X[16]  # the second replica has no example of the last batch
    np.testing.assert_allclose(copies[0], (first + second) / 2, rtol=1e-5)


class Watch(layers.Layer):
    """Records whether its last call was compiled by XLA."""

    compiled = None

    def call(self, x):
        graph = tf.compat.v1.get_default_graph()
        self.compiled = control_flow_util.GraphOrParentsInXlaContext(graph)
        return x


@pytest.mark.parametrize(("loss", "expected"), [("mse", True), (scalar, False)])
def test_forward_and_backward_are_compiled_where_replicas_need_not_talk(loss, expected, mirrored):
    watch = Watch()
    model = model_on(mirrored, watch, layers.Dense(2), loss=loss, jit_compile=True)
    model.fit(X, Y, batch_size=16, verbose=0)
    assert watch.compiled == expected
    model.evaluate(X, Y, batch_size=16, verbose=0)
    assert watch.compiled == expected
    model.predict(X, batch_size=16, verbose=0)
    assert watch.compiled


def test_a_layer_that_talks_to_other_replicas_is_not_compiled(mirrored):
    def weights(strategy):
        keras.utils.set_random_seed(1)
        norm = layers.BatchNormalization(synchronized=True)
        model = model_on(strategy, norm, layers.Dense(2), jit_compile=True)
        model.fit(X[:16], Y[:16], batch_size=16, shuffle=False, verbose=0)
        return model.get_weights()

    for found, expected in zip(
        weights(mirrored), weights(tf.distribute.get_strategy()), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("optimizer", [ours, of_keras])
def test_a_replica_without_an_example_has_no_part_in_a_step(optimizer, jit_compile, mirrored):
    """The mean over no examples is NaN, and so is its gradient."""

    def model(strategy):
        parts = [layers.BatchNormalization(), layers.Dense(3, "tanh"), layers.Dense(2)]
        return model_on(strategy, *parts, optimizer=optimizer, jit_compile=jit_compile)

    two, one = model(mirrored), model(tf.distribute.get_strategy())
    two.set_weights(one.get_weights())
    before = one.get_weights()
    for each in (two, one):
        each.fit(X[:1], Y[:1], epochs=2, verbose=0)
    assert any((a != b).any() for a, b in zip(one.get_weights(), before, strict=True))
    for a, b in zip(two.trainable_variables, one.trainable_variables, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_dropout_differs_between_replicas(mirrored):
    keras.utils.set_random_seed(1)
    with mirrored.scope():
        wide = layers.Dropout(0.5), layers.Dense(1, use_bias=False, kernel_initializer="zeros")
        model = keras.Sequential([keras.Input((64,)), *wide])
        model.compile(optimizers.SGD(1.0), lambda y, prediction: prediction[:, 0])
    distribute.prepare(model)
    ones = np.ones((2, 64), "float32")
    model.fit(ones, ones[:, :1], batch_size=2, verbose=0)
    # an input that only one replica keeps changes by 1, otherwise by 0 or 2
    assert 10 < np.sum(np.isclose(model.get_weights()[0], -1)) < 54


@pytest.mark.parametrize("prepared_first", [True, False])
@pytest.mark.parametrize(
    "penalty",
    [regularizers.GradientPenalty(0.1), regularizers.JacobianPenalty(0.1, projections=None)],
    ids=["gradient", "Jacobian"],
)
def test_penalties_of_steps_are_those_of_one_device(penalty, prepared_first, mirrored):
    one = model_on(tf.distribute.get_strategy(), layers.Dense(2, "tanh"), optimizer=ours)
    regularizers.apply(one, penalty)
    with mirrored.scope():
        two = keras.Sequential([keras.Input((6,)), layers.Dense(2, "tanh")])
        two.compile(ours(), "mse")
    two.set_weights(one.get_weights())
    for attach in sorted(
        (distribute.prepare, lambda model: regularizers.apply(model, penalty)),
        key=lambda each: (each is distribute.prepare) != prepared_first,
    ):
        attach(two)
    histories = []
    for model in (one, two):
        fitted = model.fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0)
        histories.append(fitted.history["loss"])
    np.testing.assert_allclose(*histories, rtol=2e-6)
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("optimizer", [of_keras, scaled])
def test_saved_and_loaded(optimizer, mirrored, tmp_path):
    """As the class of Keras that it is."""
    model = model_on(mirrored, layers.Dense(2), optimizer=optimizer)
    model.fit(X[:32], Y[:32], batch_size=16, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(model.optimizer) is type(loaded.optimizer) is type(optimizer())
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for a, b in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_nothing_of_a_generator_is_lost(mirrored):
    """Keras reads from it to build the model."""
    model = model_on(
        mirrored,
        layers.Dense(1, kernel_initializer="zeros"),
        optimizer=lambda: keras.optimizers.SGD(0.0),
    )
    batches = ((np.ones((8, 6)), np.full((8, 1), number)) for number in (1, 2, 3))
    history = model.fit(batches, epochs=3, steps_per_epoch=1, verbose=0).history
    assert history == {"loss": [1, 4, 9]}


class Slices(keras.utils.PyDataset):
    """Batches in memory that TensorFlow uses as it is: at multiples of 64 bytes."""

    def __init__(self):
        super().__init__()
        memory = np.empty(Y[:24].nbytes + 64, "uint8")
        start = -memory.ctypes.data % 64
        self.y = memory[start : start + Y[:24].nbytes].view("float32").reshape(24, 2)
        self.y[:] = Y[:24]

    def __len__(self):
        return 3

    def __getitem__(self, index):
        part = slice(8 * index, 8 * index + 8)
        return X[part], self.y[part]


def test_targets_from_python_are_not_overwritten(mirrored):
    """TensorFlow would put results into slices of NumPy's memory."""
    data = Slices()
    model_on(mirrored, layers.Dense(2), optimizer=ours).fit(data, epochs=20, verbose=0)
    np.testing.assert_array_equal(data.y, Y[:24])


def test_data_may_be_words(mirrored):
    words = layers.StringLookup(vocabulary=["a", "b"], output_mode="one_hot")
    with mirrored.scope():
        inputs = keras.Input((), dtype="string")
        model = keras.Model(inputs, layers.Dense(1)(words(inputs)))
        model.compile(ours(), "mse")
    distribute.prepare(model)
    data = tf.data.Dataset.from_tensor_slices((["a", "b", "a"], [[1.0], [0.0], [1.0]]))
    losses = model.fit(data.batch(3), epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_compiled_again(mirrored):
    model = model_on(mirrored, layers.Dense(2))
    model.fit(X[:16], Y[:16], verbose=0)
    with mirrored.scope():
        model.compile(of_keras(), "mae")
    model.fit(X, Y, batch_size=15, verbose=0)
    assert type(model.optimizer) is keras.optimizers.Adam
    assert int(model.optimizer.iterations.numpy()) == 5


def test_other_models_are_left_alone(mirrored):
    model_on(mirrored, layers.Dense(2)).fit(X[:16], Y[:16], verbose=0)
    with mirrored.scope():
        loss = keras.losses.MeanSquaredError()
        halves = mirrored.run(lambda: loss(tf.zeros((1, 1)), tf.ones((1, 1))))
    assert [float(x) for x in mirrored.experimental_local_results(halves)] == [0.5, 0.5]


def test_one_replica_is_left_alone():
    model = dense()
    before = dict(vars(model))
    assert distribute.prepare(model) is model
    assert vars(model).keys() == before.keys()


class OwnStep(keras.Sequential):
    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x) - y) ** 2)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return {"loss": loss}


def test_a_step_that_computes_its_own_loss_is_refused(mirrored):
    with mirrored.scope():
        model = OwnStep([keras.Input((6,)), layers.Dense(2)])
        model.compile(plain())
    with pytest.raises(ValueError, match="train_step of OwnStep"):
        distribute.prepare(model).fit(X, Y, verbose=0)


def test_the_losses_of_outputs_count_examples(mirrored):
    """The last batch is uneven, and smaller than the number of replicas."""

    def logs(strategy):
        keras.utils.set_random_seed(1)
        with strategy.scope():
            inputs = keras.Input((6,))
            outputs = {name: layers.Dense(2, name=name)(inputs) for name in "ab"}
            model = keras.Model(inputs, outputs)
            model.compile(plain(), "mse")
        distribute.prepare(model)
        y = {"a": Y[:11], "b": Y[:11] + 1}
        options = {"batch_size": 4, "verbose": 0}
        history = model.fit(X[:11], y, shuffle=False, **options).history
        last = model.fit(X[:9], {k: v[:9] for k, v in y.items()}, shuffle=False, **options).history
        seen = model.evaluate(X[:11], y, return_dict=True, **options)
        return {k: [*history[k], *last[k], seen[k]] for k in seen}

    one, two = logs(tf.distribute.get_strategy()), logs(mirrored)
    assert {*two} == {"loss", "a_loss", "b_loss"}
    for name, values in one.items():
        np.testing.assert_allclose(two[name], values, rtol=1e-5, err_msg=name)


class Terms(keras.Sequential):
    """Two optimizers, and terms written by hand beside `compute_loss`."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape(persistent=True) as tape:
            outputs = self(x)
            loss = self.compute_loss(x, y, outputs)
            weights = sum(tf.reduce_sum(w.value**2) for w in self.trainable_variables)
            total = loss + 0.3 * tf.reduce_mean(outputs**2) + 0.1 * weights
        parts = zip(self.layers, (self.optimizer, self.second), strict=True)
        for layer, optimizer in parts:
            trained = layer.trainable_variables
            optimizer.apply(tape.gradient(total, trained), trained)
        return self.compute_metrics(x, y, outputs)


@pytest.mark.parametrize("optimizer", [plain, lambda: keras.optimizers.SGD(0.1)])
def test_terms_written_by_hand_count_as_means(optimizer, mirrored):
    """The last batch is uneven, and smaller than the number of replicas."""

    def trained(strategy):
        keras.utils.set_random_seed(1)
        with strategy.scope():
            model = Terms([keras.Input((6,)), layers.Dense(3), layers.Dense(2)])
            model.compile(optimizer(), "mse")
            model.second = optimizer()
        distribute.prepare(model).fit(X[:9], Y[:9], batch_size=4, shuffle=False, verbose=0)
        return model.get_weights()

    one, two = trained(tf.distribute.get_strategy()), trained(mirrored)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_batch_functions(mirrored):
    one = dense()
    with mirrored.scope():
        two = dense()
        two.compile(plain(), "mse")
    distribute.prepare(two)
    one.compile(plain(), "mse")
    two.set_weights(one.get_weights())
    losses = [float(m.train_on_batch(X[:8], Y[:8])) for m in (one, two)]
    np.testing.assert_allclose(*losses, rtol=1e-6)
    losses = [float(m.test_on_batch(X[:8], Y[:8])) for m in (one, two)]
    np.testing.assert_allclose(*losses, rtol=1e-6)


class Sum(keras.losses.Loss):
    """A scalar loss that is made of another loss."""

    def call(self, y_true, y_pred):
        return 0.01 * keras.losses.MeanSquaredError(reduction="sum")(y_true, y_pred)


def test_a_loss_inside_a_loss(mirrored):
    one, two = (
        model_on(s, layers.Dense(2), loss=Sum()) for s in (tf.distribute.get_strategy(), mirrored)
    )
    two.set_weights(one.get_weights())
    losses = []
    for model in (one, two):
        history = model.fit(X[:29], Y[:29], batch_size=16, shuffle=False, verbose=0)
        losses.append(history.history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-6)
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("bad", [None, "model", keras.layers.Dense(1)], ids=str)
def test_only_models_can_be_prepared(bad):
    with pytest.raises(ValueError, match="`model`"):
        distribute.prepare(bad)


def test_the_strategy_of_the_same_devices_is_the_same_one():
    """TensorFlow's all-reduce fails where models of different sizes have two of them."""
    assert distribute.strategy(replicas=2) is distribute.strategy(replicas=2)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"kind": "many"}, "kind"),
        ({"replicas": 0}, "replicas"),
        ({"replicas": 1.5}, "replicas"),
        ({"timeout": 0}, "timeout"),
        ({"kind": "workers"}, "kind"),
        ({"replicas": 9}, "replicas"),
    ],
    ids=str,
)
def test_strategies_that_cannot_be(arguments, word, mirrored):
    with pytest.raises(ValueError, match=word):
        distribute.strategy(**arguments)


@pytest.mark.parametrize(
    ("cluster", "word"),
    [("{", "TF_CONFIG"), ("[]", "TF_CONFIG"), ({"worker": ["a:1"], "ps": ["b:1"]}, "parameter")],
    ids=str,
)
def test_clusters_that_cannot_be(cluster, word, monkeypatch):
    text = cluster if isinstance(cluster, str) else json.dumps({"cluster": cluster})
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match=word):
        distribute.strategy()


def test_what_was_made_outside_of_the_scope_is_refused(mirrored):
    layer = layers.Dense(2, name="outside")
    layer.build((None, 6))
    with mirrored.scope():
        model = keras.Sequential([keras.Input((6,)), layer])
        model.compile(plain(), "mse")
    with pytest.raises(ValueError, match=r"outside strategy.scope.*: outside/kernel, outside/b"):
        distribute.prepare(model)
    for make in (plain, of_keras):
        optimizer = make()
        with mirrored.scope():
            model = keras.Sequential([keras.Input((6,)), layers.Dense(2)])
            model.compile(optimizer, "mse")
        with pytest.raises(ValueError, match=r"outside strategy.scope.*: optimizer"):
            distribute.prepare(model)
