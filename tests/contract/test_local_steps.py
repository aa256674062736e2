"""Replicas that synchronize every n updates, compared with replicas trained separately."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gdx import distribute, optimizers
from keras_gdx.callbacks import ResumableCheckpoint
from keras_gdx.optimizers import SGD, Adam, LocalSteps
from tests.contract.harness import START, Run, batches, collectives

HALVES = slice(0, 8), slice(8, 16)
INNER = {
    "SGD": lambda: SGD(0.02),
    "Adam, accumulating": lambda: Adam(0.02, gradient_accumulation_steps=2, clipnorm=1.0),
}


def diloco():
    return SGD(0.7, momentum=0.9, nesterov=True)


class Outer:
    """The outer optimizer's step, in NumPy."""

    def __init__(self, optimizer):
        self.variable = keras.Variable(START.astype("float32"))
        self.optimizer = optimizer
        optimizer.build([self.variable])

    def step(self, mean):
        gradient = self.variable.numpy() - mean
        self.optimizer.apply([tf.constant(gradient, "float32")], [self.variable])
        return self.variable.numpy()


def one_by_one(make, data, period, outer=None):
    """The weights after each synchronization, from two runs with half of the batches each."""
    runs = [Run(make, size=8) for _ in HALVES]
    seen, found = 0, []
    for x, y in data:
        for run, half in zip(runs, HALVES, strict=True):
            run.train([(x[half], y[half])])
        updates = int(runs[0].optimizer.iterations.numpy())
        if updates > seen and updates % period == 0:
            mean = np.mean([run.weights() for run in runs], axis=0)
            found.append(mean if outer is None else outer.step(mean))
            for run in runs:
                assign(run, found[-1])
        seen = updates
    return found


def assign(run, flat):
    for v in run.model:
        size = int(np.prod(v.shape))
        v.assign(flat[:size].reshape(v.shape))
        flat = flat[size:]


def copies(run, strategy):
    """The weights of each replica."""
    local = [strategy.experimental_local_results(v.value) for v in run.model]
    return [np.concatenate([np.ravel(np.asarray(x[i])) for x in local]) for i in range(2)]


@pytest.mark.parametrize("outer", [None, diloco], ids=["mean", "DiLoCo"])
@pytest.mark.parametrize("inner", INNER)
def test_equals_replicas_that_were_trained_one_by_one(inner, outer, mirrored):
    data = list(batches(12))
    period = 3 if inner == "SGD" else 2
    expected = one_by_one(INNER[inner], data, period, outer and Outer(outer()))

    def make():
        return LocalSteps(INNER[inner](), outer=outer and outer(), sync_period=period)

    run = Run(make, mirrored).train(data)
    for found in copies(run, mirrored):
        np.testing.assert_allclose(found, expected[-1], atol=2e-6)
    assert len(expected) >= 3


def test_replicas_go_their_own_ways_in_between_and_meet_at_the_end(mirrored):
    run = Run(lambda: LocalSteps(SGD(0.02), sync_period=3), mirrored).train(batches(4))
    first, second = copies(run, mirrored)
    assert np.abs(first - second).max() > 1e-3
    for _ in range(2):  # the second call has nothing to do
        run.optimizer.flush()
        np.testing.assert_array_equal(*copies(run, mirrored))
        np.testing.assert_allclose(copies(run, mirrored)[0], (first + second) / 2, atol=1e-6)


def test_the_end_of_an_epoch_is_one_outer_step_and_not_two(mirrored):
    run = Run(lambda: LocalSteps(SGD(0.02), outer=diloco(), sync_period=3), mirrored)
    run.train(batches(4)).optimizer.flush()
    once = copies(run, mirrored)[0]
    run.optimizer.flush()
    np.testing.assert_array_equal(copies(run, mirrored)[0], once)


def test_of_period_one_plain_descent_is_synchronous(mirrored):
    data = list(batches(5))
    local = Run(lambda: LocalSteps(SGD(0.02), sync_period=1), mirrored).train(data)
    whole = Run(lambda: SGD(0.02)).train(data)
    np.testing.assert_allclose(local.weights(), whole.weights(), atol=1e-6)


def test_on_one_device_it_is_the_inner_optimizer():
    data = list(batches(5))
    found = Run(lambda: LocalSteps(Adam(0.02), sync_period=2)).train(data)
    np.testing.assert_array_equal(found.weights(), Run(lambda: Adam(0.02)).train(data).weights())


@pytest.mark.parametrize("outer", [None, diloco], ids=["mean", "DiLoCo"])
def test_one_all_reduce_when_it_is_due_and_none_before(outer, mirrored):
    run = Run(lambda: LocalSteps(Adam(0.02), outer=outer and outer()), mirrored)
    outside, inside = collectives(run, next(batches(1)))
    assert not outside
    assert [op.type for op in inside] == ["CollectiveReduceV2"] * 2  # one by each replica


X, Y = next(batches(1, 56))


def fitted(strategy, folder=None, interrupt=None):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        layers = [keras.Input((4,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)]
        model = keras.Sequential(layers)
        outer = diloco()
        model.compile(LocalSteps(Adam(0.02), outer=outer, sync_period=3), "mse")
    distribute.prepare(model)
    callbacks = [ResumableCheckpoint(folder, "1 step")] if folder else []
    if interrupt:

        def stop(batch, logs):
            if int(model.optimizer.iterations.numpy()) == interrupt:
                raise KeyboardInterrupt

        callbacks.insert(0, keras.callbacks.LambdaCallback(on_train_batch_end=stop))
    model.fit(X, Y, batch_size=16, epochs=3, verbose=0, callbacks=callbacks)
    return model


def test_goes_on_in_the_middle_of_a_period_bit_for_bit(mirrored, tmp_path):
    whole = fitted(mirrored, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fitted(mirrored, tmp_path / "cut", interrupt=6)
    resumed = fitted(mirrored, tmp_path / "cut")
    for a, b in zip(whole.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    for v in whole.trainable_variables:
        np.testing.assert_array_equal(*(x.numpy() for x in v.value.values))


def test_saved_and_loaded(mirrored, tmp_path):
    model = fitted(mirrored)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(again.optimizer.outer, SGD)
    assert again.optimizer.get_config() == model.optimizer.get_config()
    assert len(again.optimizer.variables) == len(model.optimizer.variables)
    for a, b in zip(again.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    again.fit(X, Y, batch_size=16, verbose=0)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"inner": keras.optimizers.SGD()}, "inner"),
        ({"inner": SGD(use_ema=True)}, "inner.use_ema"),
        ({"inner": SGD(skip_nonfinite=True)}, "inner.skip_nonfinite"),
        ({"inner": SGD(precision="kahan")}, "inner.precision"),
        ({"outer": keras.optimizers.SGD()}, "outer"),
        ({"sync_period": 0}, "sync_period"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_arguments(arguments, name):
    with pytest.raises(ValueError, match=f"Argument `{name}`"):
        optimizers.LocalSteps(**arguments)


@pytest.mark.parametrize("count", [1, 2])
def test_one_replica_with_an_outer_step_of_1_is_its_inner_optimizer(count):
    """Also for variables that are not packed, as large ones."""
    variables = [keras.Variable(np.ones(3)) for _ in range(count)]
    optimizer = LocalSteps(SGD(0.5), outer=SGD(1.0), sync_period=2)
    for updates in range(1, 5):
        optimizer.apply([np.full(3, 0.25, "float32")] * count, variables)
        for variable in variables:
            np.testing.assert_array_equal(variable.numpy(), 1 - 0.125 * updates)
