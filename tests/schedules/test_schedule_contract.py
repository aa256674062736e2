"""The contract of every schedule, tested over the registry.

The tested instance is the variable `schedule` of the docstring's example.
"""

import doctest
import json
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gdx.registry import REGISTRY
from tests.declared import refuses_wrong_values

SCHEDULES = {name: entry for name, entry in REGISTRY.items() if entry.kind == "schedule"}
HUGE = 10**9


class Example:
    """Runs the example of a class's docstring; stores its outcome and its variables."""

    def __init__(self, cls):
        module = sys.modules[cls.__module__]
        found = doctest.DocTestFinder(recurse=False).find(cls, cls.__name__, module)
        self.variables = found[0].globs
        runner = doctest.DocTestRunner(verbose=False)
        self.failed, self.attempted = runner.run(found[0], clear_globs=False)[:2]


@pytest.fixture(scope="module", params=SCHEDULES.values(), ids=SCHEDULES)
def entry(request):
    return request.param


@pytest.fixture(scope="module")
def example(entry):
    return Example(entry.cls)


@pytest.fixture
def schedule(example, entry):
    schedule = example.variables["schedule"]
    assert isinstance(schedule, entry.cls)
    return schedule


def test_is_documented(entry, example):
    assert entry.summary.endswith(".")
    assert entry.paper
    assert entry.verified
    assert example.attempted > 1
    assert example.failed == 0


def test_config_round_trip(schedule):
    config = keras.saving.serialize_keras_object(schedule)
    again = keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))
    assert type(again) is type(schedule)
    assert keras.saving.serialize_keras_object(again) == config
    np.testing.assert_array_equal(again.sample(20), schedule.sample(20))
    assert repr(again) == repr(schedule)


def test_refuses_wrong_arguments(schedule):
    refuses_wrong_values(schedule)


def test_takes_any_kind_of_step_alone_or_in_a_vector(schedule):
    values = schedule.sample(20)
    assert values.dtype == "float32"
    assert values.shape == (20,)
    kinds = [int, float, np.int32, np.int64]
    kinds += [lambda t, d=d: tf.constant(t, d) for d in ("int32", "int64", "float32")]
    kinds += [lambda t: keras.Variable(t, dtype="int64")]
    for t in (0, 1, 3, 19):
        for kind in kinds:
            value = schedule(kind(t))
            assert value.dtype == "float32"
            assert value.shape == ()
            np.testing.assert_allclose(float(value), values[t], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32"])
def test_compiled_is_eager(schedule, dtype):
    compiled = tf.function(schedule, jit_compile=True)
    steps = [*range(20), HUGE]
    values = [float(compiled(tf.constant(t, dtype))) for t in steps]
    expected = [float(schedule(tf.constant(t, dtype))) for t in steps]
    np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-7)
    assert compiled.experimental_get_tracing_count() == 1


def test_is_finite_from_the_first_update_to_long_after_the_last(entry, schedule):
    steps = np.concatenate([np.arange(100), [10**6, HUGE, HUGE + 1, 2**31 - 1]])
    for dtype in ("int32", "int64"):
        values = keras.ops.convert_to_numpy(schedule(steps.astype(dtype)))
        assert np.isfinite(values).all()
        if "without end" not in entry.summary:
            np.testing.assert_allclose(values[-3:], values[-1], rtol=1e-6, atol=1e-4)


def test_can_be_reckoned_with(schedule):
    values = schedule.sample(10)
    np.testing.assert_allclose((2 * schedule - 1).sample(10), 2 * values - 1, rtol=1e-6)
    np.testing.assert_allclose(schedule.shift(4).sample(14)[4:], values, rtol=1e-6)


def test_steers_an_optimizer_before_and_after_saving(schedule, tmp_path):
    """The gradient is 1, so the weight is minus the sum of the rates."""
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
    )
    model.compile(keras.optimizers.SGD(schedule), "mae")
    ones = np.ones((3, 1), "float32")
    model.fit(ones, -100 * ones, batch_size=1, verbose=0)
    model.save(tmp_path / "model.keras")
    for net in (model, keras.models.load_model(tmp_path / "model.keras")):
        net.fit(ones, -100 * ones, batch_size=1, verbose=0)
        weight = float(np.squeeze(net.get_weights()[0]))
        np.testing.assert_allclose(weight, -schedule.sample(6).sum(), rtol=1e-6)
