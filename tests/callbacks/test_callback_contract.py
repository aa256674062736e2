"""The contract of every registered callback."""

import json
from tempfile import mkdtemp

import keras
import numpy as np
import pytest

import keras_gdx.callbacks
from keras_gdx.callbacks import Stateful
from keras_gdx.optimizers import SGD
from keras_gdx.registry import REGISTRY

ENTRIES = [entry for entry in REGISTRY.values() if entry.kind == "callback"]
BATCH_HOOKS = [
    f"on_{kind}batch_{end}"
    for kind in ("", "train_", "test_", "predict_")
    for end in ("begin", "end")
]

X = np.ones((16, 3), "float32")
ARGUMENTS = {
    "auditlog": lambda: (mkdtemp() + "/run.jsonl",),
    "batchsizeschedule": lambda: ({1: 2, 4: 4},),
    "dynamicsurgery": lambda: (0.0, 0.1, 0, 14, 3),
    "magnitudepruning": lambda: (0.5, 0, 14, 3),
    "snapshotensemble": lambda: (2,),
    "unfreezing": lambda: ({0: "bias", 2: "kernel"},),
    "energybudget": lambda: ("1 kWh",),
    "gradientmonitor": lambda: ((X, X[:, :1]), 3),
    "sharpnessmonitor": lambda: ((X, X[:, :1]), 3),
    "resumablecheckpoint": lambda: (mkdtemp(),),
    "stepevaluator": lambda: ((X, X[:, :1]), 3),
    "tensorboardscalars": lambda: (mkdtemp(),),
    "timebudget": lambda: ("1h",),
    "trainingreport": lambda: (mkdtemp() + "/report.html",),
}
AT_BATCHES = (  # callbacks that act at batches
    "dynamicsurgery",
    "magnitudepruning",
    "energybudget",
    "faultguard",
    "gradientmonitor",
    "learningratefinder",
    "resumablecheckpoint",
    "sharpnessmonitor",
    "stepevaluator",
    "tensorboardscalars",
    "throughputmonitor",
    "timebudget",
)
CLOCKS = (
    "energybudget",
    "energymonitor",
    "richprogress",
    "timebudget",
    "throughputmonitor",
    "trainingreport",
)  # whose results differ from run to run
WITH_DATA = ("gradientmonitor", "sharpnessmonitor", "stepevaluator")
PUTS_BACK = ("learningratefinder",)  # a run with it leaves the weights unchanged
OURS = ("batchsizeschedule",)  # need an optimizer of this package


def made(cls):
    return cls(*ARGUMENTS.get(cls.__name__.lower(), tuple)())


def model_for(cls, problem):
    if is_one_of(cls, OURS):
        return problem.model(SGD(0.5, gradient_accumulation_steps=1))
    return problem.model()


def is_one_of(cls, names):
    return cls.__name__.lower() in names


every_callback = pytest.mark.parametrize(
    "cls", [entry.cls for entry in ENTRIES], ids=[entry.name for entry in ENTRIES]
)


def through_json(state):
    """The state after a round trip through JSON, with arrays stored separately."""
    arrays = {}

    def put_aside(array):
        arrays[str(len(arrays))] = np.asarray(array)
        return {"array": str(len(arrays) - 1)}

    text = json.dumps(state, default=put_aside, allow_nan=False)
    return json.loads(text, object_hook=lambda d: arrays[d["array"]] if [*d] == ["array"] else d)


def test_there_are_callbacks():
    assert {entry.name for entry in ENTRIES} >= {"hyperparameterlogger", "plateaucontroller"}
    assert "Callback" in keras_gdx.callbacks.__all__


@every_callback
def test_configuration_survives(cls):
    if is_one_of(cls, WITH_DATA):
        pytest.skip("data are no configuration")
    callback = made(cls)
    again = cls.from_config(json.loads(json.dumps(callback.get_config())))
    assert again.get_config() == callback.get_config()
    other = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(callback))
    assert type(other) is cls
    assert other.get_config() == callback.get_config()


@every_callback
def test_state_survives_as_json(cls, problem):
    callback = made(cls)
    problem.fit(model_for(cls, problem), [callback], epochs=3)
    again = made(cls)
    again.restore(through_json(callback.state()))
    np.testing.assert_equal(again.state(), callback.state())
    assert isinstance(callback, Stateful)


@every_callback
def test_unknown_state_is_refused(cls):
    with pytest.raises(ValueError, match="does not remember unheard_of"):
        made(cls).restore({"unheard_of": 1})


@every_callback
def test_interrupted_is_uninterrupted(cls, problem):
    if is_one_of(cls, CLOCKS):
        pytest.skip("times differ")
    if is_one_of(cls, PUTS_BACK):
        pytest.skip("it ends where it began")
    whole, first, second = made(cls), made(cls), made(cls)
    straight = problem.fit(model_for(cls, problem), [whole], epochs=6)
    model = model_for(cls, problem)
    before = problem.fit(model, [first], epochs=3)
    second.restore(through_json(first.state()))
    after = problem.fit(model, [second], epochs=6, initial_epoch=3)
    np.testing.assert_equal(second.state(), whole.state())
    assert {key: before[key] + after[key] for key in straight} == straight


@every_callback
def test_findings_are_rows(cls, problem):
    callback = made(cls)
    problem.fit(model_for(cls, problem), [callback], epochs=2)
    rows = callback.findings()
    assert all(isinstance(row, dict) and row for row in rows)
    steps = [row["step"] for row in rows if "step" in row]
    assert steps == sorted(steps)
    json.dumps(list(rows))


@every_callback
def test_batches_cost_nothing(cls):
    """Where Keras reads logs on another thread, a single such hook disables that."""
    if is_one_of(cls, AT_BATCHES):
        pytest.skip("its work is there")
    for hook in BATCH_HOOKS:
        assert getattr(cls, hook) is getattr(keras.callbacks.Callback, hook)
        assert hook not in vars(made(cls))


@every_callback
def test_docstring_is_complete(cls):
    for section in ("Args:", "Example:"):
        assert section in cls.__doc__
    assert len(cls.__doc__.partition("\n")[0]) <= 80
