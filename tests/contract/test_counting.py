"""Every counter counts updates; incomplete accumulation windows are not lost."""

import keras
import numpy as np
import pytest

import keras_gdx
from keras_gdx.arguments import is_schedule, may_change
from keras_gdx.config import argument_types, declared_arguments
from keras_gdx.registry import REGISTRY
from keras_gdx.schedules import Constant, Linear
from tests.contract.harness import Run, assert_same, batches
from tests.contract.rules import (
    WRAPPERS,
    core,
    every_rule,
    first_rules,
    make,
    rate_of,
)
from tests.reference import settings


def split(data, parts):
    for x, y in data:
        yield from zip(np.split(x, parts), np.split(y, parts), strict=True)


@first_rules
def test_micro_batches_equal_one_batch(rule):
    data = list(batches(4))
    rate = Linear(rate_of(rule, 0.1), 4)
    large = Run(lambda: make(rule, rate)).train(data)
    small = Run(lambda: make(rule, rate, gradient_accumulation_steps=4), size=4).train(
        split(data, 4)
    )
    assert_same(small, large)
    assert small.optimizer.iterations.numpy() == large.optimizer.iterations.numpy() == 4
    assert small.traces == large.traces == 1


@first_rules
def test_the_tail_of_a_window_is_applied_and_scaled_by_what_was_summed(rule):
    data = list(split(batches(2), 4))[:6]
    run = Run(lambda: make(rule, gradient_accumulation_steps=4), size=4).train(data)
    assert run.optimizer.iterations.numpy() == 1
    run.optimizer.flush()
    assert run.optimizer.iterations.numpy() == 2
    halves = [np.concatenate(parts) for parts in zip(*data[4:], strict=True)]
    large = Run(lambda: make(rule)).train(batches(1))
    same = Run(lambda: make(rule), size=8)
    for v, w in zip(
        [*same.model, *same.optimizer.variables],
        [*large.model, *large.optimizer.variables],
        strict=True,
    ):
        v.assign(w)
    assert_same(run, same.train([tuple(halves)]))
    weights = run.weights()
    run.optimizer.flush()  # flushing again has no effect
    np.testing.assert_array_equal(run.weights(), weights)


def test_fit_applies_the_tail_at_the_end_of_every_epoch_before_validation():
    x, y = next(batches(1, 40))
    for validation in ({}, {"validation_data": (x, y)}):
        keras.utils.set_random_seed(0)
        net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        net.compile(keras_gdx.optimizers.SGD(0.01, gradient_accumulation_steps=4), "mse")
        seen = []

        class Watch(keras.callbacks.Callback):
            def on_test_begin(self, logs=None):
                seen.append(self.model.optimizer.iterations.numpy())

        history = net.fit(
            x,
            y,
            batch_size=8,
            epochs=2,
            verbose=0,
            shuffle=False,
            callbacks=[Watch()],
            **validation,
        )
        assert net.optimizer.iterations.numpy() == 4  # 2 epochs of 5 micro-batches: 2 updates each
        assert net.optimizer.state.count.numpy() == 0
        if validation:
            assert seen == [2, 4]
            net_loss = net.evaluate(x, y, verbose=0)
            assert history.history["val_loss"][-1] == pytest.approx(net_loss, rel=1e-5)


@first_rules
def test_ema_counts_updates_and_starts_as_a_copy(rule):
    if make(rule).evaluates_others:
        pytest.skip("its weights are an average already")
    data = list(batches(3))
    options = {"use_ema": True, "ema_momentum": 0.5}
    run = Run(lambda: make(rule, gradient_accumulation_steps=4, **options), size=4)
    history = []
    for batch in data:
        run.train(split([batch], 4))
        history.append([v.numpy().copy() for v in run.model])
    if rule == "lookahead":  # the EMA is that of the fast weights
        return
    expected = history[0]
    for weights in history[1:]:
        expected = [0.5 * a + 0.5 * w for a, w in zip(expected, weights, strict=True)]
    for a, b in zip(core(run.optimizer).averages(), expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-5, atol=1e-6)


@first_rules
def test_a_hyper_parameter_may_be_a_schedule(rule):
    data = list(batches(4))
    options = {"weight_decay": 0.1, "global_clipnorm": 0.5}
    scheduled = {name: Constant(value) for name, value in options.items()}
    a = Run(lambda: make(rule, Constant(0.02), **scheduled)).train(data)
    b = Run(lambda: make(rule, 0.02, **options)).train(data)
    assert_same(a, b)


@every_rule
def test_the_rules_own_numbers_may_be_schedules(rule):
    if rule in WRAPPERS:
        pytest.skip("made from another rule")
    cls, base = REGISTRY[rule].cls, declared_arguments(keras_gdx.optimizers.Optimizer)
    own = {n: hint for n, hint in argument_types(cls).items() if n not in base}
    names = [n for n, hint in own.items() if may_change(hint)]
    values = {n: getattr(make(rule), n) for n in names if n not in settings(rule)}
    schedules = {n: Constant(x) for n, x in values.items() if x and not is_schedule(x)}
    data = list(batches(3))
    scheduled = Run(lambda: make(rule, **schedules)).train(data)
    # A schedule is float32, so `1 - beta` is a little less precise.
    assert_same(scheduled, Run(lambda: make(rule)).train(data), atol=2e-5, rtol=1e-4)


@first_rules
def test_a_skipped_step_is_no_step(rule):
    data = list(batches(4))
    broken = (np.full_like(data[0][0], np.nan), data[0][1])
    run = Run(lambda: make(rule, Linear(0.05, 8), skip_nonfinite=True))
    run.train([data[0], broken, *data[1:], broken])
    assert_same(run, Run(lambda: make(rule, Linear(0.05, 8))).train(data), atol=0, rtol=3e-7)
    assert run.optimizer.iterations.numpy() == 4


@first_rules
def test_closing_a_window_is_traced_once(rule, monkeypatch):
    run = Run(lambda: make(rule, gradient_accumulation_steps=4), size=4)
    data = list(split(batches(1), 4))[:3]
    cls, calls = type(core(run.optimizer)), []
    advance = cls.advance
    monkeypatch.setattr(cls, "advance", lambda *args: calls.append(1) or advance(*args))
    seen = []
    for _ in range(3):
        run.train(data)
        run.optimizer.flush()
        seen.append(len(calls))
    assert seen[0] == seen[1] == seen[2] > 0
    assert run.optimizer.iterations.numpy() == 3


def test_a_scheduled_threshold_of_radam_may_begin_with_zero():
    """The variance of its step is only defined for lengths above 4."""
    w = keras.Variable([1.0, -2.0])
    optimizer = keras_gdx.optimizers.RAdam(0.1, threshold=Constant(0.0))
    for _ in range(6):
        optimizer.apply([keras.ops.convert_to_tensor([0.5, 1.0])], [w])
    assert np.isfinite(w.numpy()).all()
