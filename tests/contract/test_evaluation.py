"""Evaluation weights are swapped in, and the trained ones are restored bit for bit."""

import keras
import numpy as np
import pytest

import keras_gdx
from tests.contract.harness import Run, batches
from tests.contract.rules import core, first_rules, make, rate_for, rate_of, rules_with, suited

X, Y = next(batches(1, 64))


@first_rules
def test_swap_and_back_is_identity(rule, mirrored):
    """Of weights in 16 bits, which the averages are not."""
    options = suited(rule, {"use_ema": True, "ema_momentum": 0.9})
    for strategy in (None, mirrored):
        rate = rate_of(rule, 0.1)
        run = Run(lambda: make(rule, rate, **options), strategy, dtype="bfloat16")
        run.train(batches(4))
        before = run.weights()
        with run.optimizer.evaluation_weights():
            assert (run.weights() != before).any()
            with run.optimizer.evaluation_weights():  # nested: the second has no effect
                pass
            assert (run.weights() != before).any()
        np.testing.assert_array_equal(run.weights(), before)


@pytest.mark.parametrize("rule", ["schedulefree", "schedulefreesgd", "schedulefreeadamw"])
def test_schedule_free_shows_its_average_everywhere(rule, tmp_path):
    keras.utils.set_random_seed(0)
    net = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)]
    )
    net.compile(make(rule, 0.05), "mse")
    seen = {}

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                seen["trained"] = [v.numpy() for v in net.trainable_variables]
                seen["loss"] = net.evaluate(X, Y, verbose=0)
                seen["prediction"] = net.predict(X, verbose=0)
                net.save(tmp_path / "middle.keras")
                net.save_weights(tmp_path / "middle.weights.h5")
                net.export(tmp_path / "middle", verbose=False)
                seen["after"] = [v.numpy() for v in net.trainable_variables]

        def on_epoch_end(self, epoch, logs=None):
            seen["at_end"] = [v.numpy() for v in net.trainable_variables]

    net.fit(X, Y, batch_size=8, epochs=1, verbose=0, shuffle=False, callbacks=[Watch()])
    for a, b in zip(seen["trained"], seen["after"], strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(seen["at_end"], net.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)

    loaded = keras.models.load_model(tmp_path / "middle.keras")
    assert loaded.evaluate(X, Y, verbose=0) == pytest.approx(seen["loss"], rel=1e-6)
    expected = average(loaded.optimizer, seen["trained"])
    for a, b, y in zip(loaded.get_weights(), expected, seen["trained"], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        assert (a != y).any()
    np.testing.assert_allclose(
        loaded.predict(X, verbose=0), seen["prediction"], rtol=1e-5, atol=1e-6
    )
    exported = keras.layers.TFSMLayer(tmp_path / "middle", call_endpoint="serve")
    np.testing.assert_allclose(exported(X), seen["prediction"], rtol=1e-4, atol=1e-5)


def average(optimizer, trained):
    """`x` from `y` and `z` by the definition `y = (1 - beta) z + beta x`."""
    zs = [slots["z"].read().numpy() for slots in optimizer.state.slots]
    return [(y - (1 - 0.9) * z) / 0.9 for y, z in zip(trained, zs, strict=True)]


def test_the_average_does_not_depend_on_when_beta_changes():
    """Neither the one that is shown, nor the one in training that goes on from a file."""
    w = keras.Variable([1.0, -2.0])
    optimizer = keras_gdx.optimizers.ScheduleFreeSGD(0.125, beta=0.75, weight_lr_power=0.0)
    x = z = w.numpy()
    for t, beta in enumerate([0.75, 0.75, 0.25, 0.25, 0.9375], 1):
        optimizer.beta = beta
        with optimizer.evaluation_weights():
            np.testing.assert_allclose(w.numpy(), x, rtol=1e-6)
        if t == 4:
            store = {}
            optimizer.save_own_variables(store)
            optimizer = keras_gdx.optimizers.ScheduleFreeSGD(0.125, beta=0.5, weight_lr_power=0.0)
            optimizer.build([w])
            optimizer.load_own_variables(store)
            optimizer.beta = beta
        gradient = np.array([t, 1.0], "float32")
        optimizer.apply([gradient], [w])
        z = z - 0.125 * gradient
        x = x + (z - x) / t
        np.testing.assert_allclose(w.numpy(), (1 - beta) * z + beta * x, rtol=1e-6)


@pytest.mark.parametrize(
    "inner",
    [
        lambda: keras_gdx.optimizers.SGD(0.1, weight_decay=0.5),
        lambda: keras_gdx.optimizers.LAMB(0.1, weight_decay=0.5, no_adaptation=["bias"]),
        lambda: keras_gdx.optimizers.LARS(0.1, weight_decay=0.5, no_adaptation=["kernel"]),
        lambda: keras_gdx.optimizers.NovoGrad(0.1, weight_decay=0.5),
    ],
    ids=["SGD", "LAMB", "LARS", "NovoGrad"],
)
def test_the_first_step_is_that_of_the_inner_rule(inner):
    """With its decay once, where the rule has it, and with its masks."""
    moved = []
    for optimizer in (inner(), keras_gdx.optimizers.ScheduleFree(inner())):
        kernel = keras.Variable([[3.0, 4.0]], name="kernel")
        bias = keras.Variable([0.5, -1.0], name="bias")
        optimizer.apply([np.float32([[1, -2]]), np.float32([2, 1])], [kernel, bias])
        moved.append(np.concatenate([kernel.numpy()[0], bias.numpy()]))
    np.testing.assert_allclose(*moved, rtol=1e-6)


def test_weights_that_somebody_sets_after_fit_are_the_new_ones():
    net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    net.compile(keras_gdx.optimizers.ScheduleFreeSGD(0.1), "mse")
    net.fit(X, Y, verbose=0)
    chosen = [np.full_like(w, 0.5) for w in net.get_weights()]
    net.set_weights(chosen)
    with net.optimizer.evaluation_weights():
        pass
    for a, b in zip(net.get_weights(), chosen, strict=True):
        np.testing.assert_array_equal(a, b)


def held(net):
    return [v.numpy() for v in net.trainable_variables]


def shown(net):
    with core(net.optimizer).evaluation_weights():
        return held(net)


@rules_with(averages=[False, True])
def test_weights_that_somebody_sets_are_evaluated_and_trained_on(rule, averages):
    """At rest they do not change: nothing that the optimizer keeps pulls at them."""
    options = suited(rule, {"use_ema": True, "ema_momentum": 0.5}) if averages else {}
    if averages and make(rule).evaluates_others:
        pytest.skip("its weights are an average already")
    net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    net.compile(make(rule, **options), "mse")
    net.optimizer.build(net.trainable_variables)
    rng = np.random.default_rng(0)

    def check(train):
        chosen = [rng.normal(size=w.shape).astype("float32") for w in net.get_weights()]
        net.set_weights(chosen)
        expected = float(np.mean((X @ chosen[0] + chosen[1] - Y) ** 2))
        assert net.evaluate(X, Y, verbose=0) == pytest.approx(expected, rel=1e-5)
        net.optimizer.learning_rate = rate_for(rule, 0.0)
        train()
        for weights in (held(net), shown(net)):
            for a, b in zip(weights, chosen, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-6)
        net.optimizer.learning_rate = rate_of(rule, 0.05)

    def steps(count):
        for _ in range(count):
            net.train_on_batch(X, Y)

    check(lambda: steps(3))  # before the first step
    steps(4)
    check(lambda: steps(3))  # while training
    before = held(net)
    net.fit(X, Y, batch_size=16, verbose=0)
    assert np.abs(before[0] - held(net)[0]).max() > 1e-4
    check(lambda: net.fit(X, Y, batch_size=16, verbose=0))  # `fit` leaves evaluation weights


def test_weights_that_are_set_and_set_back_between_epochs_change_nothing():
    """As in an evaluation with weights that the user sets."""
    nets = []
    for swaps in (False, True):
        keras.utils.set_random_seed(0)
        net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        net.compile(keras_gdx.optimizers.ScheduleFreeSGD(0.1), "mse")

        class Swap(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                now = self.model.get_weights()
                self.model.set_weights([w + 1 for w in now])
                self.model.evaluate(X, Y, verbose=0)
                self.model.set_weights(now)

        callbacks = [Swap()] if swaps else []
        net.fit(X, Y, epochs=3, batch_size=16, shuffle=False, verbose=0, callbacks=callbacks)
        nets.append(net)
    for a, b in zip(*(net.get_weights() for net in nets), strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_variable_that_is_changed_between_epochs_is_one_variable():
    """The other variables continue from their trained weights."""
    nets = []
    for changes in (False, True):
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Dense(3, name="a"), keras.layers.Dense(1, name="b")]
        net = keras.Sequential([keras.Input((4,)), *layers])
        net.compile(keras_gdx.optimizers.ScheduleFreeSGD(0.1), "mse")
        net.fit(X, Y, epochs=2, batch_size=16, shuffle=False, verbose=0)
        if changes:
            layers[1].bias.assign(layers[1].bias + 1)
        net.optimizer.learning_rate = 0.0
        net.train_on_batch(X, Y)
        nets.append(held(net))
    for place, (a, b) in enumerate(zip(*nets, strict=True)):
        assert np.abs(a - b).max() > 0.5 if place == 3 else (a == b).all()


@pytest.mark.parametrize("kind", ["keras", "weights"])
def test_files_hold_what_was_set(kind, tmp_path):
    net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    net.compile(keras_gdx.optimizers.ScheduleFreeSGD(0.1), "mse")
    net.fit(X, Y, batch_size=16, verbose=0)
    net.set_weights([np.full_like(w, 0.5) for w in net.get_weights()])
    expected = net.evaluate(X, Y, verbose=0)
    if kind == "keras":
        net.save(tmp_path / "net.keras")
        again = keras.models.load_model(tmp_path / "net.keras")
    else:
        net.save_weights(tmp_path / "net.weights.h5")
        again = keras.models.clone_model(net)
        again.compile(keras_gdx.optimizers.ScheduleFreeSGD(0.1), "mse")
        again.fit(X, -Y, batch_size=8, verbose=0)
        again.load_weights(tmp_path / "net.weights.h5")
    assert again.evaluate(X, Y, verbose=0) == expected
    for each in (net, again):
        each.fit(X, Y, batch_size=16, shuffle=False, verbose=0)
    for a, b in zip(net.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_ema_is_shown_at_the_end_of_fit_and_training_goes_on_from_the_trained_weights():
    nets = []
    for epochs in ((2,), (1, 1)):
        keras.utils.set_random_seed(0)
        net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        net.compile(make("adamw", use_ema=True), "mse")
        for n in epochs:
            net.fit(X, Y, epochs=n, batch_size=16, shuffle=False, verbose=0)
        nets.append(net)
    for a, b, c in zip(
        nets[0].get_weights(), nets[1].get_weights(), core(net.optimizer).averages(), strict=True
    ):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c.numpy())
