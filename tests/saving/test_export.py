"""A program that imports only TensorFlow continues training, with the same losses."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_gdx
from keras_gdx import regularizers, schedules

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
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr[-2000:]
    return json.loads(found.stdout.splitlines()[-1])


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
    assert signatures == ["serve", "train_step"]


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
    still, moves = (loaded.kept[i].numpy() for i in (0, 6))
    losses = [float(loaded.train_step(X[0], Y[0])["loss"]) for _ in range(5)]
    assert losses[4] < losses[0]
    np.testing.assert_array_equal(loaded.kept[0].numpy(), still)
    assert np.abs(loaded.kept[6].numpy() - moves).max() > 1e-5


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
    before = [v.numpy() for v in loaded.kept]
    loaded.train_step(X[0], Y[0], 0.1)
    moved = [not np.array_equal(v.numpy(), old) for v, old in zip(loaded.kept, before, strict=True)]
    names = [v.path.split("/", 1)[1] for v in net.variables]
    assert [n for n, m in zip(names, moved, strict=False) if not m] == names[:2]


def test_a_model_that_is_frozen_as_a_whole(tmp_path):
    net = network(keras_gdx.optimizers.AdamW(0.01))
    net.trainable = False
    net.compile(net.optimizer, "mse")
    keras_gdx.export(net, str(tmp_path / "exported"))
    loaded = tf.saved_model.load(str(tmp_path / "exported"))
    losses = {float(loaded.train_step(X[0], Y[0], 0.1)["loss"]) for _ in range(2)}
    assert len(losses) == 1
    np.testing.assert_allclose(loaded.serve(X[0]).numpy(), net.predict(X[0], verbose=0), rtol=1e-5)


def test_classes_as_numbers_several_inputs_and_dropout(tmp_path):
    inputs = {"a": keras.Input((3,), name="a"), "b": keras.Input((2,), name="b")}
    x = keras.layers.Concatenate()([inputs["a"], inputs["b"]])
    outputs = keras.layers.Dense(3, "softmax")(keras.layers.Dropout(0.5)(x))
    net = keras.Model(inputs, outputs)
    net.compile(keras_gdx.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    keras_gdx.export(net, str(tmp_path / "exported"))
    loaded = tf.saved_model.load(str(tmp_path / "exported"))
    batch = {"a": tf.ones((4, 3)), "b": tf.ones((4, 2))}
    losses = {float(loaded.train_step(batch, [0, 1, 2, 0], 0.0)["loss"]) for _ in range(6)}
    assert len(losses) > 1  # dropout differs from step to step
    assert loaded.serve(batch).shape == (4, 3)


def test_bad_input(tmp_path):
    path = str(tmp_path / "exported")
    bare = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    foreign = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    foreign.compile("sgd", "mse")

    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x):
            return self.dense(x)

    own = Subclassed()
    own(np.ones((1, 2)))
    own.compile(keras_gdx.optimizers.SGD(0.1), "mse")
    several = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    several.compile("sgd", "mse")
    several.critic_optimizer = keras_gdx.optimizers.SGD(0.1)
    for model, match in (
        (3, "`model`"),
        (bare, "compiled"),
        (foreign, "keras_gdx"),
        (own, "`inputs`"),
        (several, "not by critic_optimizer"),
    ):
        with pytest.raises(ValueError, match=match):
            keras_gdx.export(model, path)
    assert not (tmp_path / "exported").exists()
    specs = {"inputs": tf.TensorSpec((None, 2)), "targets": tf.TensorSpec((None, 1))}
    keras_gdx.export(own, path, **specs)
    assert tf.saved_model.load(path).serve(tf.ones((3, 2))).shape == (3, 1)
