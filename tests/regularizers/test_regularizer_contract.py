"""The contract of every regularizer, tested over the registry.

The tested instance is the variable `regularizer` of the docstring's example.
"""

import doctest
import json
import sys

import keras
import numpy as np
import pytest

import keras_gdx.regularizers
from keras_gdx.registry import REGISTRY
from keras_gdx.regularizers.step_penalty import StepPenalty
from tests.declared import refuses_wrong_values

REGULARIZERS = {name: entry for name, entry in REGISTRY.items() if entry.kind == "regularizer"}


def run_example(thing):
    """Runs the example of a docstring; returns its outcome and its variables."""
    module = sys.modules[thing.__module__]
    found = doctest.DocTestFinder(recurse=False).find(thing, thing.__name__, module)[0]
    outcome = doctest.DocTestRunner(verbose=False).run(found, clear_globs=False)
    assert outcome.failed == 0
    assert outcome.attempted > 1
    return found.globs


@pytest.fixture(params=REGULARIZERS.values(), ids=REGULARIZERS)
def entry(request):
    return request.param


@pytest.fixture
def regularizer(entry):
    regularizer = run_example(entry.cls)["regularizer"]
    assert isinstance(regularizer, entry.cls)
    return regularizer


def takes_weights(entry):
    """Whether it is a function of the weights of any variable."""
    of_outputs = "`activity_regularizer`" in entry.summary
    return not (of_outputs or issubclass(entry.cls, StepPenalty))


def chooses_weights(entry):
    """Whether it has its own choice of the variables, or of their reference values."""
    return hasattr(entry.cls, "chooses") or hasattr(entry.cls, "attached_to")


def test_is_documented(entry):
    assert entry.summary.endswith(".")
    assert entry.paper
    assert entry.verified


def test_example_of_apply():
    run_example(keras_gdx.regularizers.apply)


def test_config_round_trip(regularizer):
    config = keras.saving.serialize_keras_object(regularizer)
    again = keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))
    assert type(again) is type(regularizer)
    assert keras.saving.serialize_keras_object(again) == config
    assert repr(again) == repr(regularizer)


def test_refuses_wrong_arguments(regularizer):
    refuses_wrong_values(regularizer)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("shape", [(6,), (5, 4), (3, 3, 2, 4)], ids=str)
def test_is_a_float32_scalar_that_is_not_negative(entry, regularizer, shape, dtype):
    if not takes_weights(entry) or hasattr(regularizer, "attached_to"):
        pytest.skip("takes outputs, steps, or weights of one shape")
    w = np.random.default_rng(0).normal(size=shape)
    for weights in (keras.ops.cast(w, dtype), keras.Variable(w, dtype=dtype)):
        value = regularizer(weights)
        assert value.dtype == "float32"
        assert value.shape == ()
        assert float(value) >= 0
    expected = float(regularizer(keras.ops.cast(w, "float32")))
    np.testing.assert_allclose(float(value), expected, rtol=2e-2)


def test_counts_in_fit_before_and_after_saving(entry, regularizer, tmp_path):
    if not takes_weights(entry) or chooses_weights(entry):
        pytest.skip("not for kernels")
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.Conv2D(3, 3, kernel_regularizer=regularizer),
            keras.layers.Flatten(),
            keras.layers.Dense(2, kernel_regularizer=regularizer),
        ]
    )
    model.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=True)
    zeros = np.zeros((4, 6, 6, 2)), np.zeros((4, 2))  # the loss consists of the penalties only
    before = sum(float(regularizer(v)) for v in model.trainable_variables if len(v.shape) > 1)
    loss = model.fit(*zeros, batch_size=4, verbose=0).history["loss"][0]
    np.testing.assert_allclose(loss, before, rtol=1e-5)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    model.run_eagerly = again.run_eagerly = True  # in a test, tracing costs more
    after = [m.evaluate(*zeros, verbose=0) for m in (model, again)]
    assert after[0] < before
    np.testing.assert_allclose(after[1], after[0], rtol=1e-6)
