"""Schedules have the values of other libraries, and of float64 where float32 is imprecise."""

import json
import math
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_gdx import schedules
from keras_gdx.schedules import (
    Clipped,
    Constant,
    Cosine,
    CosineRestarts,
    Cyclical,
    Exponential,
    FlatCosine,
    Linear,
    MultiStep,
    OneCycle,
    OneCycleMomentum,
    Polynomial,
    PowerCool,
    PowerDecay,
    Schedule,
    Sequential,
    Step,
    Tanh,
    Warmup,
    WarmupStableDecay,
)
from tests.reference import references

in_keras = keras.optimizers.schedules
ORACLES = json.loads(Path(__file__).with_name("oracles.json").read_text())
KERAS_OWN = [
    in_keras.CosineDecay(0.0, 8, warmup_target=0.1, warmup_steps=3),
    in_keras.CosineDecayRestarts(0.1, 4),
    in_keras.ExponentialDecay(0.1, 3, 0.5, staircase=True),
    in_keras.InverseTimeDecay(0.1, 3, 0.5),
    in_keras.PiecewiseConstantDecay([3, 5], [0.1, 0.2, 0.3]),
    in_keras.PolynomialDecay(0.1, 5, cycle=True),
]


@pytest.mark.parametrize(("here", "there", "values"), ORACLES, ids=lambda x: str(x)[:60])
def test_has_the_values_of(here, there, values):
    schedule = eval(here, vars(schedules))
    np.testing.assert_allclose(schedule.sample(len(values)), values, rtol=2e-6, atol=1e-8)


@pytest.mark.parametrize("before_end", [1, 10, 10**4, 10**6])
def test_keeps_its_digits_near_the_end_of_a_long_run(before_end):
    n = 10**9
    left = before_end / n
    t = n - before_end
    expected = {
        Linear(1.0, n): left,
        Linear(1.0, n).shift(10**9): 1.0,
        Polynomial(1.0, n, power=0.5, k=2.0): math.sqrt(left * (2 - left)),
        Cosine(1.0, n): math.sin(math.pi / 2 * left) ** 2,
        WarmupStableDecay(1.0, 10, n - 110, 100): min(before_end, 100) / 100,
        WarmupStableDecay(1.0, 0, 0, n, "1-sqrt"): left / (1 + math.sqrt(1 - left)),
        Warmup(Linear(1.0, 2 * 10**6), n - 10**6): min(1.0, 0.5 + before_end / (2 * 10**6)),
        Sequential([(n - 7, 0.5), (7, Linear(1.0, 7))]): before_end / 7 if before_end < 7 else 0.5,
        PowerDecay(1.0, 1e-9, 2.0): (1 + t / n) ** -2,
    }
    for schedule, value in expected.items():
        for step in (t, np.int64(t), np.array([t], "int32")):
            result = float(np.squeeze(keras.ops.convert_to_numpy(schedule(step))))
            np.testing.assert_allclose(result, value, rtol=1e-6, err_msg=repr(schedule))


def fastai_flat_cosine(t, rate, steps, start, final):
    begin = round(start * steps)
    x = min(max(t - begin, 0) / (steps - begin), 1)
    return rate + (1 + math.cos(math.pi * (1 - x))) * (final - rate) / 2


@keras.saving.register_keras_serializable("keras_gdx tests")
def harmonic(cycle):
    return 1 / cycle


def addons_cyclical(t, low, high, size, scale_fn, scale_mode):
    """TensorFlow Addons 0.23, CyclicalLearningRate."""
    cycle = math.floor(1 + t / (2 * size))
    height = max(0, 1 - abs(t / size - 2 * cycle + 1))
    return low + (high - low) * height * scale_fn(cycle if scale_mode == "cycle" else t)


FORMULAS = [
    (
        Cyclical(0.1, 1.0, 3, scale_fn=harmonic),
        lambda t: addons_cyclical(t, 0.1, 1.0, 3, harmonic, "cycle"),
    ),
    (
        Cyclical(0.1, 1.0, 3, scale_fn=lambda x: 0.9**x, scale_mode="iterations"),
        lambda t: addons_cyclical(t, 0.1, 1.0, 3, lambda x: 0.9**x, "iterations"),
    ),
    (
        Polynomial(0.1, 5, 0.01, power=2.0, k=1.5, cycle=True),
        lambda t: 0.01 + 0.09 * (1 - (t / (5 * max(1, math.ceil(t / 5)))) ** 1.5) ** 2,
    ),
    (FlatCosine(0.1, 24, 0.5, 1e-5), lambda t: fastai_flat_cosine(t, 0.1, 24, 0.5, 1e-6)),
    (FlatCosine(0.1, 20), lambda t: fastai_flat_cosine(t, 0.1, 20, 0.75, 0.0)),
    (
        PowerCool(0.1, 24, -0.4, 0.3),
        lambda t: 0.1 * max(t, 1) ** -0.4 * min(1, max(24 - t, 0) / (0.3 * 24)),
    ),
    *(
        (cls(**hyper), partial(reference.value, **hyper))
        for cls, reference in references("schedule")
        for hyper in reference.HYPER
    ),
]


@pytest.mark.parametrize(("schedule", "formula"), FORMULAS, ids=[f"{s}"[:40] for s, _ in FORMULAS])
def test_has_the_values_of_its_formula(schedule, formula):
    values = [formula(t) for t in range(40)]
    np.testing.assert_allclose(schedule.sample(40), values, rtol=2e-6, atol=1e-8)


def test_has_the_values_of_keras_beyond_what_float32_counts():
    for t in (2**24 + 1, 10**9 + 7):
        np.testing.assert_allclose(float(Step(1.0, 10**8, 0.5)(t)), 0.5 ** (t // 10**8), rtol=1e-6)
        share = t % 10**6 / 10**6
        np.testing.assert_allclose(
            float(Cyclical(0.0, 1.0, 500_000)(t)), 1 - abs(2 * share - 1), rtol=1e-5, atol=1e-7
        )
        height = math.cos(math.pi / 2 * share) ** 2
        np.testing.assert_allclose(
            float(CosineRestarts(1.0, 10**6, t_mul=1.0)(t)), height, rtol=1e-5, atol=1e-7
        )
    n = 10**9
    last = OneCycle(1.0, n, anneal="linear")
    for before in (1, 100, 10**5):
        left = before / (n - 0.3 * n)
        expected = left + (1 - left) * 4e-6
        np.testing.assert_allclose(float(last(n - 1 - before)), expected, rtol=1e-5)


AS_IN_KERAS = [
    (ours(*args, **options), theirs(*args, **options))
    for ours, theirs, args, options in (
        (Polynomial, in_keras.PolynomialDecay, (0.1, 5, 0.01, 1.0), {"cycle": True}),
        (Polynomial, in_keras.PolynomialDecay, (0.1, 5, 0.01, 2.0), {"cycle": True}),
        (Exponential, in_keras.ExponentialDecay, (0.1, 5, 0.5), {}),
        (Exponential, in_keras.ExponentialDecay, (0.1, 5, 0.5), {"staircase": True}),
    )
]


@pytest.mark.parametrize(("ours", "theirs"), AS_IN_KERAS, ids=lambda s: repr(s)[:40])
def test_has_the_values_of_keras(ours, theirs):
    expected = [float(theirs(t)) for t in range(32)]
    np.testing.assert_allclose(ours.sample(32), expected, rtol=1e-6)


def test_a_polynomial_cycles_where_float32_has_no_digits_left():
    n = 10**9
    np.testing.assert_allclose(float(Polynomial(1.0, n, cycle=True)(2 * n - 3)), 1.5e-9, rtol=1e-6)


def test_a_function_that_scales_cycles_is_saved_by_its_name():
    schedule = Cyclical(0.1, 1.0, 3, scale_fn=harmonic)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(schedule)))
    again = keras.saving.deserialize_keras_object(config)
    assert again.scale_fn is harmonic
    np.testing.assert_array_equal(again.sample(20), schedule.sample(20))


def test_one_cycle_holds_its_last_value():
    for schedule in (OneCycle(1.0, 10), OneCycleMomentum(10)):
        values = schedule.sample(15)
        assert (values[9:] == values[9]).all()


@pytest.mark.parametrize("shape", ["linear", "1-sqrt", "cosine", "exponential"])
def test_a_trapezoid_meets_its_corners_exactly(shape):
    values = WarmupStableDecay(0.5, 4, 3, 5, shape, end_factor=0.25).sample(16)
    assert values[0] == 0.125
    assert (values[4:8] == 0.5).all()
    assert (values[12:] == 0.125).all()
    assert (np.diff(values[:5]) > 0).all()
    assert (np.diff(values[7:13]) < 0).all()


def test_no_steps_of_warmup_are_none():
    assert list(Warmup(Linear(1.0, 2), 0).sample(3)) == [1.0, 0.5, 0.0]
    assert list(WarmupStableDecay(1.0, 0, 0, 2).sample(3)) == [1.0, 0.5, 0.0]
    assert list(Sequential([(0, 9.0), (2, Linear(1.0, 2))]).sample(3)) == [1.0, 0.5, 0.0]


def arithmetic():
    """Pairs of a composed schedule and its values."""
    a, b = Linear(1.0, 5, 0.1), Cosine(0.3, 7)
    x, y = a.sample(10), b.sample(10)
    factor = in_keras.ExponentialDecay(1.0, 2, 0.5)
    z = np.array([float(factor(t)) for t in range(10)])
    return [
        (a * 0.1, x * 0.1),
        (0.1 * a, x * 0.1),
        (np.float32(0.1) * a, x * 0.1),
        (a + b, x + y),
        (1 + a, 1 + x),
        (a - b, x - y),
        (1 - a, 1 - x),
        (a * b, x * y),
        (a / 4, x / 4),
        (4 / a, 4 / x),
        (a / b, np.divide(x, y, out=np.zeros(10), where=y > 0)),
        (factor / a, z / x),
        (-a, -x),
        (sum([a, b]), x + y),
        (a * factor, x * z),
        (factor * a, x * z),
        (factor - a, z - x),
        (a.clip(0.2, 0.5), x.clip(0.2, 0.5)),
        (a.shift(3), x[np.maximum(np.arange(10) - 3, 0)]),
        ((a * 2 - b).shift(2).clip(0, 1), (2 * x - y)[np.maximum(np.arange(10) - 2, 0)].clip(0, 1)),
    ]


def test_arithmetic():
    for schedule, values in arithmetic():
        assert isinstance(schedule, Schedule)
        np.testing.assert_allclose(schedule.sample(10), values, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("own", KERAS_OWN, ids=lambda s: type(s).__name__)
def test_takes_the_schedules_of_keras(own):
    values = np.array([float(own(t)) for t in range(12)])
    delayed = values[np.maximum(np.arange(14) - 2, 0)]
    for schedule, expected in [
        (Warmup(own, 2, initial=delayed[0]), delayed),
        (Sequential([(2, own), (12, own)]), np.concatenate([values[:2], values])),
        (Clipped(own, 0.05, 0.15), values.clip(0.05, 0.15)),
        (own + Constant(1.0), values + 1),
    ]:
        n = len(expected)
        np.testing.assert_allclose(schedule.sample(n), expected, rtol=1e-6, atol=1e-7)
        one_by_one = [float(schedule(t)) for t in range(n)]
        np.testing.assert_allclose(one_by_one, expected, rtol=1e-6, atol=1e-7)
        config = keras.saving.serialize_keras_object(schedule)
        again = keras.saving.deserialize_keras_object(config)
        np.testing.assert_array_equal(again.sample(n), schedule.sample(n))


BAD = [  # what the types of the arguments do not tell
    (lambda: WarmupStableDecay(0.1, 5, 5, 5, "exponential"), "end_factor", "above 0"),
    (lambda: MultiStep(0.1, [], 0.5), "milestones", r"\[\]"),
    (lambda: MultiStep(0.1, [1, 2.5], 0.5), r"milestones\[1\]", "2.5"),
    (lambda: OneCycle(0.1, 10, pct_start=0.0), "pct_start", "0.0"),
    (lambda: OneCycle(0.1, 10, pct_start=0.6, three_phase=True), "pct_start", "0.6"),
    (lambda: Cyclical(0.1, 1.0, 5, "exp_range", scale_fn=abs), "shape", "exp_range"),
    (lambda: Tanh(0.1, 5, lower=3.0, upper=3.0), "upper", "3.0"),
    (lambda: schedules.create("linear", 0.1, 0), "total_steps", "0"),
    (lambda: schedules.create("linear", 0.1, 10, warmup=1.5), "warmup", "1.5"),
    (lambda: schedules.create("linear", -0.1), "learning_rate", "-0.1"),
    (lambda: schedules.create("linear", 0.1, 10, warmup=1.0), "warmup", "1.0"),
    (lambda: schedules.create("linear", 0.1, 10, warmup=12), "warmup", "12"),
    (lambda: schedules.create("wsd", 0.1, 10, warmup=5, decay_steps=9), "stable_steps", "-4"),
    (lambda: Sequential([]), "pieces", "non-empty"),
    (lambda: Sequential([0.1]), "pieces", "pairs"),
    (lambda: Sequential([(5, 0.1), (-1, 0.1)]), r"pieces\[1\]\[0\]", "-1"),
    (lambda: Sequential([(5, "fast")]), r"pieces\[0\]\[1\]", "fast"),
    (lambda: Constant(1) + "fast", "right", "fast"),
    (lambda: Constant(1) * math.inf, "right", "inf"),
    (lambda: Constant(1).clip(1, 0), "high", "0"),
    (lambda: Constant(1).sample(0), "n", "0"),
]


@pytest.mark.parametrize(("make", "argument", "received"), BAD)
def test_says_what_is_wrong_at_construction(make, argument, received):
    with pytest.raises(ValueError, match=rf"`{argument}` must be .*{received}"):
        make()


def test_plot():
    figure = pytest.importorskip("matplotlib.figure")
    drawn = Cosine(1.0, 4).plot(6)
    assert isinstance(drawn, figure.Figure)
    x, y = drawn.axes[0].lines[0].get_data()
    np.testing.assert_array_equal(x, np.arange(6))
    np.testing.assert_array_equal(y, Cosine(1.0, 4).sample(6))


def test_plot_without_matplotlib(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"keras_gdx\[report\]"):
        Constant(1.0).plot(3)
