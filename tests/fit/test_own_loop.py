"""A loop of one's own is like `fit`, with the same step: weights, order, callbacks, resuming."""

from collections import Counter
from contextlib import suppress

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_gdx
from keras_gdx import TrainingLoop, callbacks, optimizers, schedules
from keras_gdx.callbacks import ResumableCheckpoint
from tests.resume.interruption import Interrupted

X = np.random.default_rng(0).normal(size=(72, 3)).astype("float32")
Y = X.sum(axis=1, keepdims=True)
BATCH = 16  # the last of five batches is smaller


class Pieces(keras.utils.PyDataset):
    """The batches of the arrays."""

    def __len__(self):
        return -(-len(X) // BATCH)

    def __getitem__(self, index):
        rows = slice(index * BATCH, (index + 1) * BATCH)
        return X[rows], Y[rows]


def pipeline():
    return tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(100, seed=1).batch(BATCH)


def of_unknown_length():
    return pipeline().filter(lambda x, y: True)


def make(optimizer=None, **options):
    keras.utils.set_random_seed(1)
    hidden = [keras.layers.Dense(4, "tanh", name="hidden"), keras.layers.Dropout(0.2)]
    model = keras.Sequential([keras.Input((3,)), *hidden, keras.layers.Dense(1, name="head")])
    model.compile(optimizer or optimizers.AdamW(0.01, gradient_accumulation_steps=2), **options)
    return model


def step_of(model, compiled=True):
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    return tf.function(step) if compiled else step


def train(model, *data, step=None, stop=None, epochs=2, **options):
    """Trains in a loop, for `stop` batches; returns the history."""
    step, seen = step or step_of(model), 0
    with suppress(Interrupted), TrainingLoop(model, *data, epochs=epochs, **options) as loop:
        for _ in loop.epochs():
            for batch in loop.batches():
                if seen == stop:
                    raise Interrupted
                loop.log(loss=step(*batch))
                seen += 1
            if seen == stop:
                raise Interrupted
            with loop.evaluating():
                loop.log(val_loss=np.mean((model(X) - Y) ** 2))
    return loop.history


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a.get_weights(), b.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("data", "options", "compiled"),
    [
        (lambda: (X, Y), {"batch_size": BATCH}, True),
        (lambda: (X, Y), {"batch_size": BATCH}, False),
        (lambda: (pipeline(),), {}, True),
        (lambda: (Pieces(),), {}, True),
    ],
    ids=["arrays", "arrays, not compiled", "tf.data", "PyDataset"],
)
def test_ends_with_the_weights_of_fit(data, options, compiled, tmp_path):
    rule = {"learning_rate": schedules.create("cosine", 0.02), "gradient_accumulation_steps": 2}
    fitted, own = (make(optimizers.AdamW(**rule, use_ema=True), loss="mse") for _ in range(2))
    keras.utils.set_random_seed(2)
    watch = [ResumableCheckpoint(tmp_path / "fit")]  # decides the order of arrays
    fitted.fit(*data(), **options, epochs=2, verbose=0, callbacks=watch)
    keras.utils.set_random_seed(2)
    watch = [ResumableCheckpoint(tmp_path / "own")]
    train(own, *data(), **options, step=step_of(own, compiled), callbacks=watch)
    assert int(own.optimizer.iterations) == 6  # the incomplete windows, too
    assert float(own.optimizer.learning_rate) == 0.0
    if compiled:
        assert same(fitted, own)
    for a, b in zip(fitted.get_weights(), own.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def adversaries():
    """Two networks in an object without `call`, each with an optimizer."""
    keras.utils.set_random_seed(0)
    dense, both = keras.layers.Dense, keras.Model()
    both.maker = keras.Sequential([keras.Input((2,)), dense(4, "relu"), dense(3)])
    both.judge = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.3), dense(1)])
    both.noise = keras.random.SeedGenerator(3)
    both.optimizers = {
        "maker": optimizers.Adam(schedules.create("cosine", 0.01), use_ema=True),
        "judge": optimizers.RMSprop(0.01, gradient_accumulation_steps=2),
    }
    return both


def adversarial(both):
    @tf.function
    def step(x, y):
        with tf.GradientTape(persistent=True) as tape:
            made = both.maker(keras.random.normal((len(x), 2), seed=both.noise), training=True)
            right, wrong = both.judge(x, training=True), both.judge(made, training=True)
            losses = {"maker": -tf.reduce_mean(wrong), "judge": tf.reduce_mean(wrong - right)}
        for name, network in (("maker", both.maker), ("judge", both.judge)):
            gradients = tape.gradient(losses[name], network.trainable_variables)
            pairs = zip(gradients, network.trainable_variables, strict=True)
            both.optimizers[name].apply_gradients(pairs)
        return losses["judge"]

    return step


def adversarial_run(stop=None, **options):
    both, seen, step = adversaries(), 0, None
    with (
        suppress(Interrupted),
        TrainingLoop(both, X, Y, epochs=2, batch_size=BATCH, **options) as loop,
    ):
        step = adversarial(both)
        for _ in loop.epochs():
            for batch in loop.batches():
                if seen == stop:
                    raise Interrupted
                loop.log(loss=step(*batch))
                seen += 1
    return both, loop.history


def test_two_optimizers_resume_bit_for_bit(tmp_path):
    whole, history = adversarial_run(callbacks=[ResumableCheckpoint(tmp_path / "whole")])
    for stop in (3, 4):  # in the first epoch and in the second, with open windows
        adversarial_run(stop, callbacks=[ResumableCheckpoint(tmp_path / "parts", every=1)])
    resumed, found = adversarial_run(callbacks=[ResumableCheckpoint(tmp_path / "parts", every=1)])
    assert found == history
    assert len(history["loss"]) == 2
    assert same(whole.maker, resumed.maker)
    assert same(whole.judge, resumed.judge)
    assert [int(x.iterations) for x in whole.optimizers.values()] == [10, 6]


def test_resumes_after_the_last_batch_of_an_epoch_of_unknown_length(tmp_path):
    """Only the evaluation is left then. Metrics of the model are not logged by themselves."""
    histories = []
    for stop in (None, 5):
        folder = tmp_path / str(stop)
        for at in {stop, None}:
            model = make(loss="mse")
            model.another = keras.metrics.Mean(name="another")
            watch = [ResumableCheckpoint(folder, every=1)]
            history = train(model, of_unknown_length(), epochs=1, callbacks=watch, stop=at)
        histories.append(history)
    assert histories[0] == histories[1]


@pytest.mark.parametrize(
    ("optimizer", "watch"),
    [
        (lambda: optimizers.SGD(0.1, use_ema=True), list),
        (lambda: optimizers.ScheduleFreeAdamW(0.1), list),
        (lambda: optimizers.SGD(0.1), lambda: [callbacks.WeightAverager("ema", decay=0.9)]),
    ],
    ids=["EMA", "schedule-free", "WeightAverager"],
)
def test_evaluating_shows_the_averages_and_brings_the_trained_weights_back(optimizer, watch):
    model = make(optimizer())
    step = step_of(model)
    with TrainingLoop(model, X, Y, batch_size=BATCH, epochs=2, callbacks=watch()) as loop:
        for _ in loop.epochs():
            for batch in loop.batches():
                step(*batch)
            trained = model.get_weights()
            with loop.evaluating():
                averages = model.get_weights()
            for now, before in zip(model.get_weights(), trained, strict=True):
                np.testing.assert_array_equal(now, before)
    assert all(np.any(a != b) for a, b in zip(averages, trained, strict=True))
    np.testing.assert_array_equal(model.get_weights()[0], averages[0])  # as after `fit`


def test_an_incomplete_window_is_applied_before_the_evaluation():
    model = make()
    step, seen = step_of(model), []
    with TrainingLoop(model, X, Y, batch_size=BATCH) as loop:
        for _ in loop.epochs():
            for batch in loop.batches():
                step(*batch)
            seen.append(int(model.optimizer.iterations))
    assert seen == [3]


def test_batches_may_be_taken_one_by_one():
    model = make()
    step, sizes = step_of(model), []
    with TrainingLoop(model, X, Y, batch_size=BATCH, shuffle=False) as loop:
        for _ in loop.epochs():
            for _ in range(5):
                x, y = next(loop.batches())
                step(x, y)
                sizes.append(len(x))
            assert not [*loop.batches()]
    assert sizes == [16, 16, 16, 16, 8]
    assert int(model.optimizer.iterations) == 3


class Events(keras.callbacks.Callback):
    """Counts what happens, and keeps the logs."""

    def __init__(self):
        super().__init__()
        self.count, self.logs = Counter(), []

    def on_train_batch_end(self, batch, logs=None):
        self.count["batch"] += 1
        self.logs.append(logs["loss"])

    def on_train_end(self, logs=None):
        self.count["end"] += 1
        self.logs.append(logs["loss"])


def test_callbacks_get_the_means_of_what_is_logged():
    model, events = make(), Events()
    with TrainingLoop(model, X, Y, batch_size=BATCH, epochs=2, callbacks=[events]) as loop:
        for _ in loop.epochs():
            for number, _ in enumerate(loop.batches()):
                loop.log(loss=number)
            assert loop.logs == {"loss": 2.0}
    assert events.logs == [0.0, 0.5, 1.0, 1.5, 2.0] * 2 + [2.0]
    assert loop.history == {"loss": [2.0, 2.0]}


def test_a_callback_ends_the_run():
    stop = keras.callbacks.EarlyStopping("loss", min_delta=100.0, patience=1)
    assert len(train(make(), X, Y, epochs=9, callbacks=[stop])["loss"]) == 2


def test_break_ends_the_run_for_good(tmp_path):
    for events in (Events(), Events()):
        model = make()
        watch = [events, ResumableCheckpoint(tmp_path)]
        with TrainingLoop(model, X, Y, batch_size=BATCH, epochs=9, callbacks=watch) as loop:
            for _ in loop.epochs():
                for _ in loop.batches():
                    loop.log(loss=1.0)
                    if events.count["batch"] == 2:
                        break
                if events.count["batch"] == 2:
                    break
        assert events.count["end"] == 1
        assert loop.history == {"loss": [1.0]}
    assert events.count["batch"] == 0  # of the second run


def test_two_replicas_end_as_one_device_and_resume(mirrored, tmp_path):
    def run(strategy, folder, stop=None):
        with strategy.scope():
            model = make(optimizers.AdamW(0.01, gradient_accumulation_steps=2, clipnorm=0.5))
            model.layers[1].rate = 0.0  # replicas draw masks of their own

        def part(x, y, count):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum((model(x) - y) ** 2) / count
            gradients = tape.gradient(loss, model.trainable_variables)
            model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
            return loss

        @tf.function
        def step(x, y):
            sizes = strategy.run(lambda x: tf.cast(tf.shape(x)[0], "float32"), (x,))
            count = strategy.reduce("SUM", sizes, axis=None)
            return strategy.reduce("SUM", strategy.run(part, (x, y, count)), axis=None)

        watch = [ResumableCheckpoint(folder, every=1)]
        train(model, X, Y, step=step, batch_size=BATCH, callbacks=watch, stop=stop)
        return model

    one = run(tf.distribute.OneDeviceStrategy("CPU:0"), tmp_path / "one")
    two = run(mirrored, tmp_path / "two")
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    run(mirrored, tmp_path / "parts", stop=6)
    assert same(run(mirrored, tmp_path / "parts"), two)


def test_optimizers_in_attributes_resume_on_two_replicas(mirrored, tmp_path):
    """They are built before the first step then, on all devices."""

    def run(folder, stop=None):
        with mirrored.scope():
            keras.utils.set_random_seed(1)
            model = keras.Model()
            model.net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
            model.by = optimizers.Adam(0.01)

        def part(x, y):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum((model.net(x) - y) ** 2) / BATCH
            weights = model.net.trainable_variables
            gradients = tape.gradient(loss, weights)
            model.by.apply_gradients(zip(gradients, weights, strict=True))
            return loss

        @tf.function
        def step(x, y):
            return mirrored.reduce("SUM", mirrored.run(part, (x, y)), axis=None)

        watch, seen = [ResumableCheckpoint(folder, every=1)], 0
        options = {"batch_size": BATCH, "callbacks": watch}
        with suppress(Interrupted), TrainingLoop(model, X, Y, **options) as loop:
            for _ in loop.epochs():
                for batch in loop.batches():
                    if seen == stop:
                        raise Interrupted
                    loop.log(loss=step(*batch))
                    seen += 1
        return model.net

    whole = run(tmp_path / "whole")
    run(tmp_path / "parts", stop=3)
    assert same(run(tmp_path / "parts"), whole)


def test_refuses_what_it_cannot_train(mirrored):
    with pytest.raises(ValueError, match="`model` must be compiled, or have its optimizers"):
        TrainingLoop(keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]), X, Y)
    unbuilt = keras.Sequential([keras.layers.Dense(1)])
    unbuilt.compile("sgd")
    with pytest.raises(ValueError, match="`model` must be built"):
        TrainingLoop(unbuilt, X, Y)
    with pytest.raises(ValueError, match="`x` must be the data"):
        TrainingLoop(make())
    with pytest.raises(ValueError, match="`epochs` must be an integer >= 1"):
        TrainingLoop(make(), X, Y, epochs=0)
    with mirrored.scope():
        prepared = keras_gdx.distribute.prepare(make())
    with pytest.raises(ValueError, match="it was prepared"):
        TrainingLoop(prepared, X, Y)
    loop = TrainingLoop(make(), X, Y)
    with pytest.raises(ValueError, match="used in `with`"):
        next(loop.epochs())
    with loop, pytest.raises(ValueError, match="used inside `epochs`"):
        next(loop.batches())


def test_a_compiled_step_does_not_outlive_its_schedule():
    """The step has the length of the first run compiled in."""
    model = make(optimizers.SGD(schedules.create("linear", 0.1)))
    step = step_of(model)
    train(model, X, Y, step=step)
    with pytest.raises(ValueError, match="compile the model with a new optimizer"):
        train(model, X, Y, step=step, epochs=3)


def test_layers_are_not_unfrozen_under_a_compiled_step():
    model = make()
    watch = [callbacks.Unfreezing({0: "head", 1: "hidden"})]
    with pytest.raises(ValueError, match="such as `Unfreezing`"):
        train(model, X, Y, callbacks=watch)


@pytest.mark.parametrize("kind", [callbacks.MagnitudePruning, callbacks.DynamicSurgery])
def test_prunes_as_in_fit(kind):
    fitted, own = (make(optimizers.SGD(0.1), loss="mse") for _ in range(2))
    keras.utils.set_random_seed(2)
    fitted.fit(pipeline(), epochs=2, verbose=0, callbacks=[kind(end=7, every=2)])
    keras.utils.set_random_seed(2)
    train(own, pipeline(), callbacks=[kind(end=7, every=2)])
    assert same(fitted, own)
    assert (own.get_weights()[0] == 0).any()


def test_masks_do_not_come_under_a_compiled_step():
    model = make()
    step = step_of(model)
    step(X, Y)
    with pytest.raises(ValueError, match="make the step anew"):
        train(model, X, Y, step=step, callbacks=[callbacks.MagnitudePruning()])
    assert all(v.constraint is None for v in model.trainable_variables)


def test_the_model_is_left_as_it_was_after_an_error(tmp_path):
    model = make(loss="mse")
    before = {*vars(model)}
    train(model, X, Y, stop=3, callbacks=[ResumableCheckpoint(tmp_path)])
    after = {*vars(model)} - {"history", "_keras_gdx_stepped", "_keras_gdx_swaps"}
    assert after == before
    model.fit(X, Y, verbose=0, callbacks=[ResumableCheckpoint(tmp_path)])  # the lock is free
