"""Schedules by name, with lengths as numbers, as fractions, or as long as `fit`."""

from inspect import Parameter

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_gdx
from keras_gdx import optimizers, schedules
from keras_gdx.config import declared_arguments
from keras_gdx.registry import REGISTRY
from keras_gdx.schedules import Cosine, Linear, MultiStep, OneCycle, Warmup, WarmupStableDecay
from keras_gdx.schedules.create import LENGTHS, STEPS

X = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
Y = np.ones((50, 1), "float32")


def is_long(entry):
    """Whether a schedule ends with the run, and `create` needs only its rate and its length."""
    if entry.kind != "schedule" or "without end" in entry.summary:
        return False
    defaults = declared_arguments(entry.cls)
    rate, *others = defaults
    given = all(x in STEPS or defaults[x] is not Parameter.empty for x in others)
    return "learning_rate" in rate and {*LENGTHS} & defaults.keys() and given


LONG = [name for name, entry in REGISTRY.items() if is_long(entry)]


def network(optimizer):
    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    net.compile(optimizer, "mse")
    return net


@pytest.mark.parametrize(
    ("created", "expected"),
    [
        (schedules.create("cosine", 0.1, 100), Warmup(Cosine(0.1, 95), 5)),
        (
            schedules.create("cosine", 0.1, 100, warmup=7, alpha=0.1),
            Warmup(Cosine(0.1, 93, 0.1), 7),
        ),
        (schedules.create("linear", 0.1, 100, warmup=0), Linear(0.1, 100)),
        (schedules.create("wsd", 0.1, 100, warmup=0.1), WarmupStableDecay(0.1, 10, 70, 20)),
        (
            schedules.create("wsd", 0.1, 100, decay_steps=0.5, shape="1-sqrt"),
            WarmupStableDecay(0.1, 5, 45, 50, "1-sqrt"),
        ),
        (schedules.create("onecycle", 0.1, 100, div=10.0), OneCycle(0.1, 100, 10.0)),
        (
            schedules.create("multistep", 0.1, 100, warmup=0, milestones=[0.5, 75], gamma=0.1),
            MultiStep(0.1, [50, 75], 0.1),
        ),
    ],
    ids=repr,
)
def test_has_the_lengths_that_were_asked_for(created, expected):
    assert repr(created) == repr(expected)
    np.testing.assert_array_equal(created.sample(120), expected.sample(120))


def test_the_twin_for_momentum_is_as_long():
    schedule = schedules.create("onecyclemomentum", total_steps=50, pct_start=0.4)
    expected = schedules.OneCycleMomentum(50, pct_start=0.4)
    np.testing.assert_array_equal(schedule.sample(60), expected.sample(60))


@pytest.mark.parametrize("name", LONG)
def test_every_schedule_with_a_length_ends_with_the_run(name):
    values = schedules.create(name, 0.1, 200, warmup=0.1).sample(260)
    assert values.max() == pytest.approx(0.1, rel=1e-5)
    assert (values[200:] == values[200]).all()
    assert values[200] < values[150] < 0.1 + 1e-7


def test_learns_its_length_from_fit():
    log = keras_gdx.callbacks.HyperparameterLogger()
    rate = schedules.create("cosine", 0.1)
    optimizer = keras_gdx.optimizers.AdamW(
        rate,
        weight_decay=2 * schedules.create("linear", 0.1, warmup=0),
        gradient_accumulation_steps=3,
    )
    net = network(optimizer)
    net.fit(X, Y, batch_size=5, epochs=3, verbose=0, callbacks=[log])
    assert optimizer.iterations.numpy() == 12  # 10 batches make 3 + 1 updates
    assert rate.total_steps == 12
    assert rate.sample(13)[-1] == 0
    assert optimizer.weight_decay.left.total_steps == 12


def test_equals_the_schedule_with_the_length_given():
    weights = []
    for total in (None, 20):
        optimizer = keras_gdx.optimizers.Muon(schedules.create("wsd", 0.01, total))
        net = network(optimizer)
        net.fit(X, Y, batch_size=10, epochs=4, verbose=0)
        weights.append(net.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_loaded_run_goes_on_with_its_length(tmp_path):
    whole = network(keras_gdx.optimizers.Adam(schedules.create("linear", 0.1, 20)))
    whole.fit(X, Y, batch_size=10, epochs=4, shuffle=False, verbose=0)

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    net = network(keras_gdx.optimizers.Adam(schedules.create("linear", 0.1)))
    net.fit(X, Y, batch_size=10, epochs=4, shuffle=False, verbose=0, callbacks=[Stop()])
    net.save(tmp_path / "net.keras")
    net = keras.models.load_model(tmp_path / "net.keras")
    assert net.optimizer.configured_rate().total_steps == 20
    net.fit(X, Y, batch_size=10, epochs=4, initial_epoch=2, shuffle=False, verbose=0)
    for a, b in zip(whole.get_weights(), net.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_says_what_it_needs_before_it_knows():
    with pytest.raises(ValueError, match="needs the length of the run"):
        schedules.create("cosine", 0.1)(3)
    net = network(keras_gdx.optimizers.SGD(schedules.create("cosine", 0.1)))
    endless = tf.data.Dataset.from_tensors((X, Y)).repeat()
    with pytest.raises(ValueError, match="steps_per_epoch"):
        net.fit(endless, verbose=0)
    net.fit(endless, steps_per_epoch=4, epochs=2, verbose=0)
    assert net.optimizer.configured_rate().total_steps == 8


def test_a_model_is_saved_before_its_schedule_knows_how_long_the_run_is(tmp_path):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizers.SGD(schedules.create("cosine", 0.1)), "mse")
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = np.ones((4, 1))
    for each in (model, again):
        each.fit(x, x, batch_size=1, epochs=2, verbose=0)
    np.testing.assert_array_equal(*(each.get_weights()[0] for each in (model, again)))


def rates_of(net, **options):
    watch = Rates()
    net.fit(X, Y, batch_size=10, verbose=0, shuffle=False, callbacks=[watch], **options)
    return watch.rates


class Rates(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.rates = []

    def on_train_batch_begin(self, batch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate))


@pytest.mark.parametrize("accumulated", [None, 2])
def test_a_second_fit_is_a_new_run(accumulated, capsys):
    """The same rates and, from the same weights and state, the same steps."""
    rate = schedules.create("cosine", 0.1, warmup=0.2)
    net = network(optimizers.SGD(rate, gradient_accumulation_steps=accumulated))
    start = net.get_weights()
    first, once = rates_of(net, epochs=2), net.get_weights()
    assert capsys.readouterr().out == ""
    net.set_weights(start)
    second, twice = rates_of(net, epochs=2), net.get_weights()
    assert second == first
    assert max(first) > 0.09
    for a, b in zip(once, twice, strict=True):
        np.testing.assert_array_equal(a, b)
    longer = rates_of(net, epochs=3)
    assert len({*longer}) > len({*first})
    assert rate.begin == (12 if accumulated else 20)
    net.fit(X, Y, batch_size=10, epochs=1, verbose=2)
    assert "begins again at update" in capsys.readouterr().out


def test_a_fit_that_begins_later_goes_on():
    whole = rates_of(network(optimizers.SGD(schedules.create("linear", 0.1))), epochs=4)
    net = network(optimizers.SGD(schedules.create("linear", 0.1)))

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    net.fit(X, Y, batch_size=10, epochs=4, verbose=0, callbacks=[Stop()])
    assert rates_of(net, epochs=4, initial_epoch=2) == whole[10:]
    # and a run that is extended is the longer run from then on
    longer = rates_of(network(optimizers.SGD(schedules.create("linear", 0.1))), epochs=6)
    assert rates_of(net, epochs=6, initial_epoch=4) == longer[20:]


@pytest.mark.parametrize("how", ["resumable", "backup"])
def test_an_interrupted_run_goes_on_in_the_same_process(how, tmp_path):
    def keep():
        if how == "backup":
            return keras.callbacks.BackupAndRestore(tmp_path / "backup", save_freq="epoch")
        return keras_gdx.callbacks.ResumableCheckpoint(tmp_path / "run", every="3 steps")

    class Crash(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations == 13:
                raise KeyboardInterrupt

    whole = rates_of(network(optimizers.SGD(schedules.create("linear", 0.1))), epochs=4)
    net = network(optimizers.SGD(schedules.create("linear", 0.1)))
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, Y, batch_size=10, epochs=4, verbose=0, callbacks=[Crash(), keep()])
    watch = Rates()
    net.fit(X, Y, batch_size=10, epochs=4, verbose=0, callbacks=[watch, keep()])
    assert watch.rates == whole[-len(watch.rates) :]


def test_an_epoch_at_rate_zero_is_told():
    net = network(optimizers.SGD(schedules.Linear(0.1, 5)))
    net.fit(X, Y, batch_size=10, epochs=1, verbose=0)
    with pytest.warns(UserWarning, match="Epoch 1 trains nothing") as told:
        net.fit(X, Y, batch_size=10, epochs=2, verbose=0)
    assert len([w for w in told if "trains nothing" in str(w.message)]) == 1
