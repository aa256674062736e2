"""A model with two optimizers in attributes is trained like one with a compiled optimizer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gdx import callbacks, optimizers, schedules
from keras_gdx.checkpoint import snapshot
from keras_gdx.integration.model_optimizers import optimizers_of

X = np.ones((6, 1), "float32")


def dense():
    return keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")


@keras.saving.register_keras_serializable("tests")
class Pair(keras.Model):
    """Two layers, updated in each step by one optimizer each."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.g, self.d = dense(), dense()

    def call(self, x):
        return self.d(self.g(x))

    def compile(self, g_opt, d_opt):
        super().compile()
        self.g_opt, self.others = g_opt, [d_opt]

    def train_step(self, data):
        (x,) = data if isinstance(data, tuple) else (data,)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(self(x) ** 2)
        g, d = tape.gradient(loss, [self.g.kernel.value, self.d.kernel.value])
        self.g_opt.apply([g], [self.g.kernel])
        self.others[0].apply([d], [self.d.kernel])
        return {"loss": loss}


def one(optimizer):
    """The same steps by one compiled optimizer."""
    model = keras.Sequential([keras.Input((1,)), dense(), dense()])
    model.compile(optimizer, lambda y, outputs: tf.reduce_mean(outputs**2, axis=-1))
    return model


def two(make):
    model = Pair()
    model(X)
    model.compile(make(), make())
    return model


def fit(model, epochs=2, listed=(), **options):
    data = (X, X) if isinstance(model, keras.Sequential) else (X,)
    options = {"batch_size": 2, "shuffle": False, "verbose": 0, **options}
    return model.fit(*data, epochs=epochs, callbacks=list(listed), **options).history


MAKERS = {
    "window": lambda: optimizers.SGD(0.1, gradient_accumulation_steps=2),
    "planned": lambda: optimizers.SGD(schedules.create("linear", 0.1)),
    "schedule-free": lambda: optimizers.ScheduleFreeSGD(0.1),
    "averages": lambda: optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5),
}


def test_they_are_found_by_name():
    model = two(MAKERS["window"])
    assert list(optimizers_of(model)) == ["", "g_opt", "others_0"]
    model.by_role = {"critic": MAKERS["window"]()}
    model.examples = [0.0, MAKERS["window"]()]  # no list of optimizers: it is not searched
    assert list(optimizers_of(model)) == ["", "g_opt", "others_0", "by_role_critic"]
    assert list(optimizers_of(one("sgd"))) == [""]


@pytest.mark.parametrize("option", MAKERS)
def test_fit_does_for_each_what_it_does_for_one(option):
    alone, pair = one(MAKERS[option]()), two(MAKERS[option])
    for _ in range(2):
        fit(alone)
        fit(pair)
    assert int(pair.g_opt.iterations) == int(alone.optimizer.iterations)
    for a, b in zip(alone.get_weights(), pair.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    for optimizer in (pair.g_opt, *pair.others):
        assert optimizer.weight_swap.swapped == alone.optimizer.weight_swap.swapped


@pytest.mark.parametrize(
    "make", [lambda: optimizers.AdamW(0.1), lambda: keras.optimizers.Adam(0.1)]
)
def test_an_interrupted_run_goes_on_bit_for_bit(make, tmp_path):
    class Crash(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.g_opt.iterations == 8:
                raise KeyboardInterrupt

    whole = two(make)
    fit(whole, 4, [callbacks.ResumableCheckpoint(tmp_path / "whole", every="2 steps")])
    interrupted = two(make)

    def keep():
        return callbacks.ResumableCheckpoint(tmp_path / "run", every="2 steps")

    with pytest.raises(KeyboardInterrupt):
        fit(interrupted, 4, [Crash(), keep()])
    again = two(make)
    fit(again, 4, [keep()])
    assert int(again.others[0].iterations) == 12
    for a, b in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_callbacks_name_each_by_its_attribute():
    logs = fit(two(lambda: optimizers.SGD(0.5)), 2, [callbacks.HyperparameterLogger()])
    names = {"learning_rate_g_opt", "learning_rate_others_0"}
    assert {name for name in logs if "learning_rate" in name} == names
    plateau = callbacks.PlateauController("loss", patience=1, min_delta=10.0, factor=0.5)
    model = two(lambda: optimizers.SGD(0.5))
    fit(model, 3, [plateau])
    assert float(model.g_opt.learning_rate) == float(model.others[0].learning_rate) < 0.5


def test_a_loss_that_no_metric_knows_is_refused_with_the_reason():
    model = two(lambda: optimizers.SGD(0.1))
    with pytest.raises(ValueError, match=r"model.g_opt.build\(variables\)"):
        fit(model, 1, [callbacks.FaultGuard()])
    fit(model, 1)
    with pytest.raises(ValueError, match=r"train_step` of Pair.*Mean\(name=.loss.\)"):
        fit(model, 1, [callbacks.FaultGuard()])


def test_a_loss_of_ones_own_counts():
    class Tracked(Pair):
        def __init__(self):
            super().__init__()
            self.tracker = keras.metrics.Mean(name="loss")

        def train_step(self, data):
            self.tracker.update_state(super().train_step(data)["loss"])
            return {"loss": self.tracker.result()}

    model = Tracked()
    model(X)
    model.compile(optimizers.SGD(0.1), optimizers.SGD(0.1))
    plateau = callbacks.PlateauController(
        "loss", every=2, patience=1, min_delta=10.0, relative=False, factor=0.5
    )
    fit(model, 3, [plateau])
    assert [change["step"] for change in plateau.changes] == [4, 6, 8]


class Helper:
    """An object of the user's own, of which Keras knows nothing."""

    def __init__(self):
        self.optimizer = keras.optimizers.Adam(0.1)
        self.scale = tf.Variable([1.0, 2.0])


class Holder(keras.Model):
    """Everything that it holds changes in training and changes the weights."""

    def __init__(self):
        super().__init__()
        self.dense = dense()
        self.helpers = {"one": Helper()}
        self.seen = keras.metrics.Sum(name="seen")
        self.noise = tf.random.Generator.from_seed(3)

    @property
    def metrics(self):  # `fit` resets these in every epoch
        return [metric for metric in super().metrics if metric is not self.seen]

    def call(self, x):
        return self.dense(x)

    def train_step(self, data):
        helper, x = self.helpers["one"], data[0] if isinstance(data, tuple) else data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(self(x + self.noise.normal(())) ** 2) * helper.scale[0]
            loss += self.seen.result() * tf.reduce_mean(self(x))
        (gradient,) = tape.gradient(loss, self.trainable_weights)
        helper.optimizer.apply([gradient], self.trainable_weights)
        helper.scale.assign(helper.scale * 0.9)
        self.seen.update_state(0.1)
        return {"loss": loss}


def test_all_that_a_model_holds_is_restored(tmp_path):
    class Crash(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.helpers["one"].optimizer.iterations == 5:
                raise KeyboardInterrupt

    def run(folder, *more):
        keras.utils.set_random_seed(0)
        model = Holder()
        model.compile()
        kept = callbacks.ResumableCheckpoint(tmp_path / folder, every="1 step")
        fit(model, 3, [*more, kept])
        return [v.numpy() for v in snapshot.variables_of(model)]

    whole = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("parts", Crash())
    found = run("parts")
    assert len(found) == 12  # the compiled optimizer has 3, the helper's 4; Keras' seed
    for a, b in zip(found, whole, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_cannot_be_saved_is_refused_by_name(tmp_path):
    model = two(MAKERS["averages"])
    model.words = tf.lookup.experimental.MutableHashTable("string", "int64", -1)
    with pytest.raises(ValueError, match=r"`model.words` is a MutableHashTable"):
        fit(model, listed=[callbacks.ResumableCheckpoint(tmp_path)])
