"""A program that imports only TensorFlow continues training, with the same losses."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_gdx
from keras_gdx import regularizers, schedules
from tests.programs import Program

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 8, 4)).astype("float32")
Y = RNG.normal(size=(6, 8, 2)).astype("float32")
PROGRAM = """
import json, sys
import numpy as np
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
data = np.load(sys.argv[2])
rate = json.loads(sys.argv[3])
losses = []
for x, y in zip(data["x"], data["y"]):
    given = [] if rate is None else [rate]
    losses.append(float(loaded.train_step(tf.constant(x), tf.constant(y), *given)["loss"]))
served = loaded.serve(tf.constant(data["x"][0])).numpy().tolist()
assert not any(name.split(".")[0] == "keras_gdx" for name in sys.modules)
print(json.dumps([losses, served, sorted(loaded.signatures)]))
"""


def network(optimizer):
    keras.utils.set_random_seed(0)
    hidden = keras.layers.Dense(80, "tanh", kernel_regularizer=regularizers.L2(1e-3))
    layers = [keras.Input((4,)), hidden, keras.layers.BatchNormalization(), keras.layers.Dense(2)]
    net = keras.Sequential(layers)
    net.compile(optimizer, "mse")
    return net


def elsewhere(net, folder, rate):
    """The results of the exported model in a process with TensorFlow alone."""
    keras_gdx.export(net, str(folder / "exported"))
    np.savez(folder / "data.npz", x=X[3:], y=Y[3:])
    arguments = [str(folder / "exported"), str(folder / "data.npz"), json.dumps(rate)]
    found = Program("-c", PROGRAM, *arguments)
    assert found.wait() == 0, found.errors()[-2000:]
    return json.loads(found.output().splitlines()[-1])


def loaded_here(net, folder, rate):
    """The same in this process."""
    keras_gdx.export(net, str(folder / "exported"))
    loaded = tf.saved_model.load(str(folder / "exported"))
    given = [] if rate is None else [rate]
    losses = [
        float(loaded.train_step(x, y, *given)["loss"]) for x, y in zip(X[3:], Y[3:], strict=True)
    ]
    return losses, loaded.serve(X[3]).numpy(), sorted(loaded.signatures)


OPTIMIZERS = {
    "adamw": (lambda: keras_gdx.optimizers.AdamW(0.01, global_clipnorm=1.0, fused=True), 0.01),
    "accumulated": (
        lambda: keras_gdx.optimizers.LAMB(0.01, gradient_accumulation_steps=2, skip_nonfinite=True),
        0.01,
    ),
    "scheduled": (lambda: keras_gdx.optimizers.Lion(schedules.Cosine(0.01, 20)), None),
    "schedule-free": (lambda: keras_gdx.optimizers.ScheduleFreeAdamW(0.01), 0.01),
    "eight bits": (lambda: keras_gdx.optimizers.Adam(0.01, state_dtype="int8"), 0.01),
    "muon": (lambda: keras_gdx.optimizers.Muon(0.01), 0.01),
    "schedule-free around": (
        lambda: keras_gdx.optimizers.ScheduleFree(keras_gdx.optimizers.Lion(0.01)),
        0.01,
    ),
    "lookahead": (lambda: keras_gdx.optimizers.Lookahead(keras_gdx.optimizers.SGD(0.01)), 0.01),
}


@pytest.mark.parametrize(
    ("name", "train"),
    [*((n, loaded_here) for n in OPTIMIZERS), ("accumulated", elsewhere), ("muon", elsewhere)],
)
def test_what_was_exported_goes_on_with_the_same_losses(name, train, tmp_path):
    make, rate = OPTIMIZERS[name]
    net = network(make())
    for x, y in zip(X[:3], Y[:3], strict=True):
        net.train_on_batch(x, y)
    losses, served, signatures = train(net, tmp_path, rate)
    here = []
    for x, y in zip(X[3:], Y[3:], strict=True):
        net.reset_metrics()
        here.append(float(net.train_on_batch(x, y)))
    np.testing.assert_allclose(losses, here, rtol=1e-5)
    np.testing.assert_allclose(served, net.predict(X[3], verbose=0), rtol=1e-3, atol=1e-5)
    assert signatures == ["serve", "serving_default", "train_step"]


def test_the_learning_rate_is_an_argument(tmp_path):
    net = network(keras_gdx.optimizers.Muon(0.01))
    keras_gdx.export(net, str(tmp_path / "exported"))
    loaded = tf.saved_model.load(str(tmp_path / "exported"))
    x, y = tf.constant(X[0]), tf.constant(Y[0])
    before = loaded.serve(x).numpy()
    still = [float(loaded.train_step(x, y, 0.0)["loss"]) for _ in range(3)]
    assert still[0] == still[2]
    moved = [float(loaded.train_step(x, y, 0.05)["loss"]) for _ in range(5)]
    assert moved[4] < moved[0] - 0.01
    assert np.abs(loaded.serve(x).numpy() - before).max() > 1e-3


def test_several_rates_stay_what_they_are(tmp_path):
    if not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip("this Keras has none")
    parts = [keras_gdx.optimizers.SGD(rate, name=f"sgd_{rate}") for rate in (0.0, 0.001)]
    net = network(
        keras.optimizers.MultiOptimizer(lambda v: parts[v.shape[-1] == 2])  # the head is trained
    )
    keras_gdx.export(net, str(tmp_path / "exported"))
    loaded = tf.saved_model.load(str(tmp_path / "exported"))
    still, moves = (loaded.variables[i].numpy() for i in (0, 6))
    losses = [float(loaded.train_step(X[0], Y[0])["loss"]) for _ in range(5)]
    assert losses[4] < losses[0]
    np.testing.assert_array_equal(loaded.variables[0].numpy(), still)
    assert np.abs(loaded.variables[6].numpy() - moves).max() > 1e-5


def test_serves_the_averages(tmp_path):
    net = network(keras_gdx.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9))
    for x, y in zip(X[:3], Y[:3], strict=True):
        net.train_on_batch(x, y)
    plain = net.predict(X[0], verbose=0)
    with net.optimizer.evaluation_weights():
        averaged = net.predict(X[0], verbose=0)
    assert np.abs(plain - averaged).max() > 1e-3
    keras_gdx.export(net, str(tmp_path / "exported"))
    loaded = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(loaded.serve(X[0]).numpy(), averaged, rtol=1e-4, atol=1e-6)


def test_goes_on_from_the_trained_weights_and_leaves_the_model_as_it_was(tmp_path):
    net = network(keras_gdx.optimizers.ScheduleFreeSGD(0.1))
    net.fit(X[0], Y[0], epochs=3, verbose=0)
    shown, answers = net.get_weights(), net.predict(X[0], verbose=0)
    keras_gdx.export(net, str(tmp_path / "exported"))
    for a, b in zip(shown, net.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    loaded = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(loaded.serve(X[0]).numpy(), answers, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras_gdx.optimizers.ScheduleFreeAdamW(0.01),
        lambda: keras_gdx.optimizers.AdamW(0.01, use_ema=True, ema_momentum=0.5),
    ],
    ids=["schedule-free", "averages"],
)
def test_a_part_that_was_frozen_after_training(make, tmp_path):
    """The optimizer still has state and evaluation weights of what it no longer trains."""
    net = network(make())
    net.fit(X[0], Y[0], epochs=3, verbose=0)
    net.layers[0].trainable = False
    net.compile(net.optimizer, "mse")
    answers = net.predict(X[0], verbose=0)
    keras_gdx.export(net, str(tmp_path / "exported"))
    loaded = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(loaded.serve(X[0]).numpy(), answers, rtol=1e-4, atol=1e-6)
    before = [v.numpy() for v in loaded.variables]
    loaded.train_step(X[0], Y[0], 0.1)
    moved = [
        not np.array_equal(v.numpy(), old) for v, old in zip(loaded.variables, before, strict=True)
    ]
    names = [v.path.split("/", 1)[1] for v in net.variables]
    assert [n for n, m in zip(names, moved, strict=True) if not m] == names[:2]


def test_a_model_that_is_frozen_as_a_whole(tmp_path):
    net = network(keras_gdx.optimizers.AdamW(0.01))
    net.trainable = False
    net.compile(net.optimizer, "mse")
    keras_gdx.export(net, str(tmp_path / "exported"))
    loaded = tf.saved_model.load(str(tmp_path / "exported"))
    losses = {float(loaded.train_step(X[0], Y[0], 0.1)["loss"]) for _ in range(2)}
    assert len(losses) == 1
    np.testing.assert_allclose(loaded.serve(X[0]).numpy(), net.predict(X[0], verbose=0), rtol=1e-5)


def mixed(outputs):
    """Makes a model with outputs of two kinds, in the structure that `outputs` makes of them."""

    def make():
        x = keras.Input((4,), name="y")  # a name that targets might have too
        kinds = keras.layers.Dense(3, "softmax", name="kind")(keras.layers.Dropout(0.5)(x))
        return keras.Model(x, outputs(kinds, keras.layers.Dense(1, name="size")(x)))

    return make


class Own(keras.Model):
    """Has no `Input`."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3)

    def call(self, x):
        return {"size": self.dense(x["a"])[:, :1]}


def own():
    net = Own()
    net({"a": X[0]})
    return net


KIND = np.arange(8) % 3
SIZE = X[0, :, :1]
ONE_HOT = np.eye(3, dtype="float32")[KIND]
CLASSES = keras.losses.SparseCategoricalCrossentropy(name="of_kind")
BOTH = mixed(lambda kind, size: {"kind": kind, "size": size})
LIST = mixed(lambda kind, size: [kind, size])
STRUCTURES = {  # a model, its losses, the targets
    "dictionary": (BOTH, {"kind": CLASSES, "size": "mse"}, {"kind": KIND, "size": SIZE}),
    "list by position": (LIST, [CLASSES, keras.losses.huber], [KIND, SIZE]),
    "list by name": (LIST, {"size": "mse", "kind": CLASSES}, [KIND, SIZE]),
    "one loss for all": (LIST, "mse", [ONE_HOT, SIZE]),
    "an output without a loss": (BOTH, {"kind": CLASSES}, {"kind": KIND}),
    "one without, by position": (LIST, [None, "mse"], [SIZE]),
    "several losses": (mixed(lambda kind, size: kind), ["mse", "mae"], ONE_HOT),
    "function": (
        mixed(lambda kind, size: kind), keras.losses.sparse_categorical_crossentropy, KIND
    ),
    "by the targets": (mixed(lambda kind, size: kind), "crossentropy", ONE_HOT),
    "no Input": (own, {"size": "mse"}, {"size": SIZE}),
}  # fmt: skip


def goes_on(net, x, y, folder, *rate):
    """Asserts that two steps and predictions of the exported model are those of `fit`."""
    keras_gdx.export(net, str(folder / "exported"))
    loaded = tf.saved_model.load(str(folder / "exported"))
    given = [keras.tree.map_structure(tf.constant, part) for part in (x, y)]
    there = [loaded.train_step(*given, *rate) for _ in range(2)]
    net.run_eagerly = True  # in a test, tracing costs more
    batch = (x, y) if len(y) else (x,)
    here = net.fit(*batch, batch_size=8, epochs=2, shuffle=False, verbose=0).history
    assert here.keys() == there[0].keys()
    for name, values in here.items():
        np.testing.assert_allclose([log[name] for log in there], values, rtol=1e-5, err_msg=name)
    served, predicted = map(keras.tree.flatten, (loaded.serve(given[0]), net.predict(x, verbose=0)))
    for a, b in zip(served, predicted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    return loaded


@pytest.mark.parametrize("name", STRUCTURES)
def test_targets_are_those_of_the_losses(name, tmp_path):
    make, loss, y = STRUCTURES[name]
    net = make()
    net.compile(keras_gdx.optimizers.SGD(0.1), loss)
    loaded = goes_on(net, {"a": X[0]} if make is own else X[0], y, tmp_path, 0.1)
    names = loaded.signatures["train_step"].structured_input_signature[1]
    assert len(names) == 2 + len(keras.tree.flatten(y))  # and the input and the learning rate


class Amplified(keras.Model):
    """A hundred times the loss, so that another step would show."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            outputs = self(x, training=True)
            loss = 100 * self.compute_loss(x, y, outputs)
        trained = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, trained), trained)
        return self.compute_metrics(x, y, outputs) | {"amplified": loss}


class Head(keras.Model):
    """Trains its last layer only, and logs no `loss`."""

    def train_step(self, data):
        trained = self.layers[-1].trainable_variables
        with tf.GradientTape() as tape:
            error = tf.reduce_mean((self(data[0], training=True) - data[1]) ** 2)
        self.optimizer.apply(tape.gradient(error, trained), trained)
        return {"error": error}


@pytest.mark.parametrize("kind", [keras.Model, Amplified, Head])
def test_the_train_step_is_that_of_the_model(kind, tmp_path):
    inputs = keras.Input((4,))
    net = kind(inputs, keras.layers.Dense(1)(keras.layers.Dense(3, "tanh")(inputs)))
    net.compile(keras_gdx.optimizers.Adam(1e-3), "mse", metrics=None if kind is Head else ["mae"])
    loaded = goes_on(net, X[0], SIZE, tmp_path, 1e-3)
    for a, b in zip(loaded.variables, net.variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


class Rivals(keras.Model):
    """Two parts with an optimizer each, and no targets."""

    def __init__(self):
        super().__init__()
        self.parts = [keras.layers.Dense(4), keras.layers.Dense(1)]
        self.part_optimizers = [keras_gdx.optimizers.Adam(rate) for rate in (0.01, 0.02)]

    def call(self, x):
        return self.parts[1](self.parts[0](x))

    def train_step(self, data):
        (x,) = data if isinstance(data, tuple) else (data,)
        logs = {}
        for sign, part, optimizer in zip((1, -1), self.parts, self.part_optimizers, strict=True):
            with tf.GradientTape() as tape:
                loss = sign * tf.reduce_mean(tf.tanh(self(x, training=True)))
            trained = part.trainable_variables
            optimizer.apply(tape.gradient(loss, trained), trained)
            logs[f"loss_{sign}"] = loss
        return logs


def test_several_optimizers_and_no_targets(tmp_path):
    net = Rivals()
    net(X[0])
    net.compile()
    goes_on(net, X[0], (), tmp_path)


def test_a_loss_that_is_only_added(tmp_path):
    inputs = keras.Input((4,))
    net = keras.Model(inputs, keras.layers.Dense(2, activity_regularizer="l2")(inputs))
    net.compile(keras_gdx.optimizers.SGD(0.1))
    goes_on(net, X[0], (), tmp_path, 0.1)


class Noise(keras.layers.Layer):
    """Draws from Keras' global generator, always."""

    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x))


def test_what_layers_keep_while_averages_are_served(tmp_path):
    inputs = keras.Input((4, 1), batch_size=8)
    states = keras.layers.GRU(2, stateful=True)(inputs)
    net = keras.Model(inputs, [keras.layers.Dense(1)(states), Noise()(states)])
    net.compile(keras_gdx.optimizers.SGD(0.1, use_ema=True), "mse")
    keras_gdx.export(net, str(tmp_path / "exported"))
    loaded = tf.saved_model.load(str(tmp_path / "exported"))
    for _ in range(2):
        for a, b in zip(loaded.serve(X[0, :, :, None]), net(X[0, :, :, None]), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_bad_input(tmp_path):
    path = str(tmp_path / "exported")
    bare = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    foreign = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    foreign.compile("sgd", "mse")

    class Triplets(Own):
        def train_step(self, data):
            ((a, b, c),) = data
            return {"loss": tf.reduce_sum(a + b + c)}

    triplets = Triplets()
    triplets({"a": X[0]})
    triplets.compile(keras_gdx.optimizers.SGD(0.1))

    unknown = Own()
    unknown.built = True  # without having been called
    unknown.compile(keras_gdx.optimizers.SGD(0.1), {"size": "mse"})
    beside = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    beside.compile("sgd", "mse")
    beside.critic_optimizer = keras_gdx.optimizers.SGD(0.1)
    fewer = LIST()
    fewer.compile(keras_gdx.optimizers.SGD(0.1), ["mse"])
    for model, match in (
        (3, "`model`"),
        (bare, "compiled"),
        (foreign, "keras_gdx"),
        (beside, "keras_gdx"),
        (unknown, "`inputs`"),
        (fewer, "one loss for each of its 2 outputs"),
        (triplets, "`train_step` of Triplets .* `targets`.* `model.export`"),
    ):
        with pytest.raises(ValueError, match=match):
            keras_gdx.export(model, path)
    assert not (tmp_path / "exported").exists()


def test_other_shapes_can_be_given(tmp_path):
    net = network(keras_gdx.optimizers.SGD(0.1))
    specs = {"inputs": tf.TensorSpec((2, 4), name="given"), "targets": tf.TensorSpec((2, 2))}
    keras_gdx.export(net, str(tmp_path), **specs)
    signatures = tf.saved_model.load(str(tmp_path)).signatures
    (served,) = signatures["serving_default"].structured_input_signature[1].values()
    assert (served.name, served.shape) == ("given", (2, 4))
