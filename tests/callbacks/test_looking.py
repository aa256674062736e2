"""The monitors' results, compared with gradients, Hessians and counters computed by hand."""

import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gdx import optimizers
from keras_gdx.callbacks import (
    EnergyBudget,
    EnergyMonitor,
    GradientMonitor,
    SharpnessMonitor,
    Unfreezing,
)
from keras_gdx.callbacks._lib import energy
from keras_gdx.callbacks._lib.energy import JOULES, CpuSeconds, Rapl, kilowatt_hours

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 5)).astype("float32")
Y = (X[:, :1] + RNG.normal(size=(64, 1))).astype("float32")


def linear(optimizer="sgd", **compiled):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(optimizer, "mse", **compiled)
    return model


def gradients_of_examples(w):
    return 2 * X * (X @ w - Y)


@pytest.mark.parametrize("jit", [False, True])
def test_norms_and_noise_by_hand(jit):
    model = linear(optimizers.SGD(0.1), jit_compile=jit)
    watch = GradientMonitor((X, Y), every=2, parts=4)
    kernels = [model.get_weights()[0]]
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs=None: kernels.append(model.get_weights()[0])
    )
    history = model.fit(X, Y, batch_size=16, verbose=0, callbacks=[watch, note]).history
    for look, (before, after) in zip(watch.history, [kernels[1:3], kernels[3:5]], strict=True):
        each = gradients_of_examples(after)
        parts = each.reshape(4, 16, 5).mean(axis=1)
        s, large = (parts**2).sum(axis=1).mean(), (each.mean(axis=0) ** 2).sum()
        norm = (64 * large - 16 * s) / 48
        trace = (s - large) / (1 / 16 - 1 / 64)
        assert look["gradient_norm"] == pytest.approx(np.sqrt(large), rel=1e-5)
        assert look["weight_norm"] == pytest.approx(np.linalg.norm(after), rel=1e-5)
        moved = np.linalg.norm(after - before) / np.linalg.norm(after)
        assert look["update_ratio"] == pytest.approx(moved, rel=1e-4)
        assert look["noise_scale"] == pytest.approx(trace / norm, rel=1e-3)
    assert [look["step"] for look in watch.history] == [2, 4]
    assert history["noise_scale"] == [watch.history[-1]["noise_scale"]]


def test_the_noise_scale_is_the_one_of_the_examples():
    """Averaged over many draws: the trace of the covariance, divided by the squared mean."""
    from keras_gdx.callbacks.gradient_monitor import noise_scale

    mean, deviation = np.array([1.0, -2.0]), np.array([3.0, 1.0])
    draws = mean + deviation * RNG.normal(size=(20_000, 64, 2))
    small = (draws.reshape(-1, 8, 8, 2).mean(axis=2) ** 2).sum(axis=-1).mean()
    large = (draws.mean(axis=1) ** 2).sum(axis=-1).mean()
    assert noise_scale(small, large, 8, 64) == pytest.approx(10 / 5, rel=0.02)
    assert np.isnan(noise_scale(2.0, 1.0, 1, 2))


def network(dropout):
    keras.utils.set_random_seed(4)
    layers = [keras.layers.Dense(4, activation="tanh"), keras.layers.BatchNormalization()]
    layers += [keras.layers.Dropout(dropout), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((5,)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizers.Adam(0.01), loss, metrics=["accuracy"])
    return model


LABELS = (Y[:, 0] > 0).astype("int32")


def test_sharpness_is_the_largest_eigenvalue():
    model = network(0.0)
    watch = SharpnessMonitor((X, LABELS), every=4, iterations=200)
    model.fit(X, LABELS, batch_size=16, verbose=0, callbacks=[watch])
    variables = [v.value for v in model.trainable_variables]
    with tf.GradientTape(persistent=True) as outer:
        with tf.GradientTape() as inner:
            loss = model.compute_loss(X, LABELS, model(X, training=False))
        first = inner.gradient(loss, variables)
        entries = tf.unstack(tf.concat([tf.reshape(g, (-1,)) for g in first], 0))
    rows = [outer.gradient(entry, variables, unconnected_gradients="zero") for entry in entries]
    hessian = np.array([np.concatenate([np.ravel(h) for h in row]) for row in rows])
    eigenvalues = np.linalg.eigvalsh(hessian.astype("float64"))
    expected = max(eigenvalues, key=abs)
    assert watch.history[0]["sharpness"] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("monitor", [GradientMonitor, SharpnessMonitor])
def test_looking_changes_nothing(monitor):
    def train(watch):
        model = network(0.3)
        history = model.fit(X, LABELS, batch_size=16, epochs=2, verbose=0, callbacks=watch).history
        return history["loss"], history["accuracy"], model.get_weights()

    loss, accuracy, weights = train([monitor((X, LABELS), every=1)])
    assert (loss, accuracy) == train([])[:2]
    for a, b in zip(weights, train([])[2], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("monitor", [GradientMonitor, SharpnessMonitor])
def test_two_replicas_see_the_same(monitor, mirrored):
    def look(strategy):
        with strategy.scope():
            model = linear(optimizers.SGD(0.1))
        watch = monitor((X, Y), every=3)
        model.fit(X, Y, batch_size=16, shuffle=False, verbose=0, callbacks=[watch])
        return watch.history[0]

    one = look(tf.distribute.get_strategy())
    two = look(mirrored)
    assert keras.tree.flatten(two) == pytest.approx(keras.tree.flatten(one), rel=1e-4)


# -- dead units --------------------------------------------------------------------------------


def dense(units, dead, name, activation="relu"):
    """A layer whose first `n` units are dead."""
    bias = keras.initializers.Constant([-99.0] * dead + [99.0] * (units - dead))
    return keras.layers.Dense(units, activation, True, "zeros", bias, name=name)


def sequential():
    layers = [dense(8, 2, "a"), keras.layers.Activation("tanh"), dense(4, 1, "b", "linear")]
    return keras.Sequential([*layers, keras.layers.ReLU(name="c"), keras.layers.Dense(1)])


def functional():
    """A layer used twice, one with leaky units, and one that makes an output."""
    inputs, shared = keras.Input((5,)), dense(5, 2, "shared")
    top = keras.layers.LeakyReLU()(dense(4, 3, "leaky", "leaky_relu")(shared(inputs)))
    end = keras.layers.Dense(1)(keras.layers.concatenate([shared(shared(inputs)), top]))
    return keras.Model(inputs, [end, keras.layers.ReLU(name="end")(end - 99)])


def nested():
    inner = keras.Sequential([keras.Input((5,)), dense(8, 2, "a"), dense(4, 1, "b")], name="in")
    inputs = keras.Input((3, 5))  # the cell of `rnn` runs in a loop, `rnn` itself does not
    cell = {"activation": "relu", "kernel_initializer": "zeros", "bias_initializer": "ones"}
    found = keras.layers.TimeDistributed(dense(2, 1, "each"), name="times")(inputs)
    found = [inner(inputs[:, 0]), keras.layers.SimpleRNN(3, name="rnn", **cell)(found)]
    return keras.Model(inputs, keras.layers.Dense(1)(keras.layers.concatenate(found)))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.parts = [keras.layers.Conv1D(2, 1, activation="relu6", name="conv"), sequential()]

    def call(self, x):
        return self.parts[1](keras.ops.max(self.parts[0](x[..., None]), axis=-1))


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (sequential, {"a": (2, 8), "c": (1, 4)}),
        (functional, {"shared": (2, 5)}),
        (nested, {"in/a": (2, 8), "in/b": (1, 4), "times/each": (1, 2), "rnn": (0, 3)}),
        (Subclassed, {"conv": (0, 2), "inner/a": (2, 8), "inner/c": (1, 4)}),
    ],
)
def test_dead_units(make, expected, jit):
    keras.utils.set_random_seed(1)
    model = make()
    x = np.repeat(X[:, None], 3, axis=1) if make is nested else X
    model(x[:1])
    if make is Subclassed:
        inner = model.parts[1].name
        expected = {name.replace("inner", inner): at for name, at in expected.items()}
        model.parts[0].set_weights([np.ones((1, 1, 2)), np.ones(2)])
    model.compile(optimizers.SGD(0.0), "mse", jit_compile=jit and make is not nested)
    y = [Y, Y] if make is functional else Y
    watch = GradientMonitor((x, y), every=4)
    history = model.fit(x, y, batch_size=16, verbose=0, callbacks=[watch]).history
    found = {
        name: layer["dead_units"]
        for name, layer in watch.history[0]["layers"].items()
        if "dead_units" in layer
    }
    assert found == {name: dead / units for name, (dead, units) in expected.items()}
    dead, units = map(sum, zip(*expected.values(), strict=True))
    assert history["dead_units"] == [pytest.approx(dead / units)]


def test_a_unit_that_answers_to_one_example_is_alive():
    model = keras.Sequential([keras.Input((5,)), dense(4, 0, "a"), keras.layers.Dense(1)])
    model.layers[0].set_weights([np.zeros((5, 4)), np.array([-1.0, -1.0, 0.0, 1.0])])
    weights = np.zeros((5, 4))
    weights[0, 0] = 1e3
    model.layers[0].set_weights([weights, np.array([-1e3 * X[:, 0].max() + 1e-2, -1, 0, 1])])
    model.compile(optimizers.SGD(0.0), "mse")
    watch = GradientMonitor((X, Y), every=1)
    model.fit(X[:4], Y[:4], verbose=0, callbacks=[watch])
    assert watch.history[0]["layers"]["a"]["dead_units"] == 0.5


def test_between_looks_nothing_is_computed():
    """The layers are called only when the measurement is traced, and it runs only when due."""
    model = sequential()
    model.compile(optimizers.SGD(0.1), "mse")
    watch, calls = GradientMonitor((X, Y), every=3), []
    compiled = watch._compile

    def counting():
        look = compiled()
        return lambda *args: calls.append(watch.memory.step) or look(*args)

    watch._compile = counting
    model.fit(X, Y, batch_size=8, verbose=0, callbacks=[watch])
    assert calls == [3, 6]
    assert not any("call" in vars(layer) for layer in model.layers)


def test_sizes_by_layer_add_up():
    model = network(0.3)
    watch = GradientMonitor((X, LABELS), every=4)
    model.fit(X, LABELS, batch_size=16, verbose=0, callbacks=[watch])
    (look,) = watch.history
    assert [*look["layers"]] == [model.layers[i].name for i in (0, 1, 3)]
    for kind in ("gradient_norm", "weight_norm"):
        whole = np.linalg.norm([layer[kind] for layer in look["layers"].values()])
        assert look[kind] == pytest.approx(whole)
    first = look["layers"][model.layers[0].name]["weight_norm"]
    assert first == pytest.approx(
        np.linalg.norm(np.concatenate([np.ravel(w) for w in model.layers[0].get_weights()])),
        rel=1e-5,
    )
    assert "dead_units" not in look


@pytest.mark.parametrize("monitor", [GradientMonitor, SharpnessMonitor])
def test_layers_that_thaw_are_seen(monitor):
    model = network(0.0)
    watch = monitor((X, LABELS), every=4)
    thaw = Unfreezing({0: model.layers[-1].name, 1: ".*"})
    model.fit(X, LABELS, batch_size=16, epochs=2, verbose=0, callbacks=[thaw, watch])
    one, two = watch.history
    assert len(two.get("layers", "abc")) == 3
    assert len(one.get("layers", "a")) == 1
    assert one != two


# -- arguments ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: GradientMonitor((X, Y), parts=65), "parts"),
        (lambda: GradientMonitor(X), "data"),
        (lambda: SharpnessMonitor(None), "data"),
        (lambda: EnergyBudget("much"), "budget"),
        (lambda: EnergyBudget(0), "budget"),
    ],
    ids=[f"bad{i}" for i in range(5)],
)
def test_bad_arguments(make, name):
    with pytest.raises(ValueError, match=f"Argument `{name}`"):
        make()


# -- energy ------------------------------------------------------------------------------------


def write(folder, used, limit=1000):
    folder.mkdir(exist_ok=True)
    (folder / "energy_uj").write_text(f"{used}\n")
    (folder / "max_energy_range_uj").write_text(f"{limit}\n")


def test_counters_of_the_processor_wrap_around(tmp_path):
    write(tmp_path / "intel-rapl:0", 900)
    write(tmp_path / "intel-rapl:1", 100)
    write(tmp_path / "intel-rapl:0:0", 5)  # a subdomain of package 0
    meter = Rapl(tmp_path)
    write(tmp_path / "intel-rapl:0", 49)  # wraps around: 900 ... 1000, 0 ... 49
    write(tmp_path / "intel-rapl:1", 150)
    write(tmp_path / "intel-rapl:0:0", 500)
    assert meter.joules() == pytest.approx((150 + 50) / 1e6)
    assert meter.joules() == 0
    with pytest.raises(OSError, match="no counters"):
        Rapl(tmp_path / "nowhere")


def test_processor_time_is_an_estimate():
    meter = CpuSeconds(20.0)
    sum(i * i for i in range(300_000))
    assert 0 < meter.joules() < 20 * 5
    assert meter.label == "estimated"


class Ticking:
    """Each source returns one joule per reading."""

    def __init__(self, **labels):
        self.labels = labels
        self.closed = False

    def joules(self):
        return dict.fromkeys(self.labels, 2.0)

    def close(self):
        self.closed = True


def train_with(watch, monkeypatch, epochs=3, gauge=None, **options):
    gauge = gauge or Ticking(processor="measured")
    monkeypatch.setattr(energy, "Counters", lambda watts: gauge)
    options = {"batch_size": 8, "epochs": epochs, "verbose": 0, "callbacks": [watch]} | options
    return linear().fit(X, Y, **options).history


def test_energy_is_added_up(monkeypatch):
    watch = EnergyMonitor(grid=500)
    history = train_with(watch, monkeypatch)
    assert history["energy_kwh"] == pytest.approx([2 / JOULES, 4 / JOULES, 6 / JOULES])
    assert history["co2e_kg"] == pytest.approx([x / 2 for x in history["energy_kwh"]])
    assert "co2e_kg" not in train_with(EnergyMonitor(), monkeypatch)
    again = EnergyMonitor()
    again.restore(watch.state())
    assert train_with(again, monkeypatch)["energy_kwh"][0] == pytest.approx(8 / JOULES)


def test_every_number_says_how_it_is_known(monkeypatch):
    watch = EnergyMonitor(grid=500)
    assert {entry["how"] for entry in watch.report().values()} == {"unavailable"}
    train_with(watch, monkeypatch, initial_epoch=1)
    nothing = {"kwh": None, "how": "unavailable"}
    measured = {"kwh": pytest.approx(4 / JOULES), "how": "measured"}
    expected = {
        "processor": measured,
        "accelerator": nothing,
        "memory": nothing,
        "total": measured,
        "forecast": {"kwh": pytest.approx(4 / JOULES), "how": "estimated"},
        "co2e": {"kg": pytest.approx(2 / JOULES), "how": "estimated"},
    }
    assert watch.report() == expected
    assert watch.findings() == [{"what": what, **entry} for what, entry in expected.items()]
    watch.restore(watch.state())  # one estimated interval makes the total an estimate
    gauge = Ticking(processor="estimated", accelerator="measured")
    train_with(watch, monkeypatch, gauge=gauge, initial_epoch=1)
    hows = {what: entry["how"] for what, entry in watch.report().items()}
    assert hows == {
        "processor": "estimated", "accelerator": "measured", "memory": "unavailable",
        "total": "estimated", "forecast": "estimated", "co2e": "estimated",
    }  # fmt: skip
    assert gauge.closed


def test_the_forecast_is_for_the_end_of_the_last_epoch(monkeypatch):
    watch = EnergyMonitor()
    history = train_with(watch, monkeypatch, epochs=4)
    assert history["energy_forecast_kwh"] == pytest.approx([8 / JOULES] * 4)
    first = EnergyMonitor()
    train_with(first, monkeypatch, epochs=2)
    first.restore(first.state())
    history = train_with(first, monkeypatch, epochs=6, initial_epoch=2)
    assert history["energy_forecast_kwh"] == pytest.approx([12 / JOULES] * 4)


def test_what_was_used_since_the_last_epoch_is_saved(monkeypatch):
    watch, states = EnergyMonitor(), []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs=None: states.append(watch.state()["processor"])
    )
    train_with(watch, monkeypatch, epochs=1, batch_size=32, callbacks=[watch, note])
    assert states == [2.0, 4.0]


class FakeCarbon:
    """The part of the package `codecarbon` that the callbacks use."""

    def __init__(self, gpus=0, fails=False):
        self.gpus, self.fails, self.log = gpus, fails, []

    def OfflineEmissionsTracker(self, *, output_handlers, save_to_file, **options):
        assert save_to_file is False
        (self.handler,) = output_handlers
        return self

    def start(self):
        self.log.append("start")

    def flush(self):
        self.log.append("flush")
        n = self.log.count("flush") * 1e-6
        used = {"cpu_energy": n, "gpu_energy": 2 * n, "ram_energy": 3 * n}
        if not self.fails:
            self.handler.out(SimpleNamespace(**used, gpu_count=self.gpus), None)

    def stop(self):
        self.log.append("stop")
        self.handler.exit()


def train_with_carbon(monkeypatch, *, epochs=2, **fake):
    fake = FakeCarbon(**fake)
    monkeypatch.setitem(sys.modules, "codecarbon", fake)
    watch = EnergyMonitor(backend="codecarbon")
    train_with(watch, monkeypatch, epochs)
    return watch.report(), fake.log


def test_codecarbon_counts_and_says_how(monkeypatch):
    report, log = train_with_carbon(monkeypatch)
    assert log == ["start", "flush", "flush", "flush", "stop"]
    assert report["processor"] == {"kwh": pytest.approx(2e-6), "how": "estimated"}
    assert report["memory"] == {"kwh": pytest.approx(6e-6), "how": "estimated"}
    assert report["accelerator"] == {"kwh": None, "how": "unavailable"}
    assert report["total"] == {"kwh": pytest.approx(8e-6), "how": "estimated"}


def test_codecarbon_measures_accelerators(monkeypatch):
    report, _ = train_with_carbon(monkeypatch, gpus=1)
    assert report["accelerator"] == {"kwh": pytest.approx(4e-6), "how": "measured"}


def test_codecarbon_that_measures_nothing_is_an_error(monkeypatch):
    with pytest.raises(RuntimeError, match="codecarbon"):
        train_with_carbon(monkeypatch, fails=True)


def test_codecarbon_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    for make in (EnergyMonitor, lambda **options: EnergyBudget("1 kWh", **options)):
        with pytest.raises(ImportError, match="pip install codecarbon"):
            make(backend="codecarbon")


def test_the_budget_is_kept(monkeypatch):
    """2 J per reading of 2 batches: after the 4th reading the next one would reach 10 J."""
    watch = EnergyBudget("9 J", every=2)
    history = train_with(watch, monkeypatch, epochs=50)
    assert history["energy_kwh"][-1] <= 11 / JOULES
    assert len(history["loss"]) == 1


def test_units():
    assert kilowatt_hours("200 Wh") == pytest.approx(0.2)
    assert kilowatt_hours("3.6 kJ") == pytest.approx(0.001)
    assert kilowatt_hours(1) == 1.0
