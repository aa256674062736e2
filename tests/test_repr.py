"""`repr` says what differs from the defaults, in Python that makes the same object."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gdx import callbacks, modifiers, optimizers, regularizers, schedules
from keras_gdx.config import argument_types, declared_arguments
from keras_gdx.registry import REGISTRY
from tests.declared import another_value

NAMES = {entry.cls.__name__: entry.cls for entry in REGISTRY.values()}
REQUIRED = {  # where the type does not tell what is valid
    "schedule": schedules.Linear(0.1, 8),
    "pieces": [(2, schedules.Constant(0.1)), (0, 0.2)],
    "milestones": {2: 64},
    "stages": {1: "head"},
    "data": (np.zeros((8, 2)), np.zeros(8)),
    "regularizer": regularizers.L1(0.5),
    "name": "cosine",
    "low": 0.1,
    "high": 0.2,
    "gamma": 0.5,
    "max_learning_rate": 0.8,
    "budget": "10 minutes",
    "every": "2 epochs",
}
ONLY_HERE = {"multistep": {"milestones": [2, 5]}, "energybudget": {"budget": 0.5}}


def required(entry):
    """Valid values of the arguments without a default."""
    given = REQUIRED | ONLY_HERE.get(entry.name, {})
    return {
        name: given[name] if name in given else another_value(argument_types(entry.cls)[name], None)
        for name, default in declared_arguments(entry.cls).items()
        if default is inspect.Parameter.empty
    }


def others(entry, needed):
    """The same with one optional argument that differs from its default, for each."""
    for name, hint in argument_types(entry.cls).items():
        default = declared_arguments(entry.cls).get(name, inspect.Parameter.empty)
        if default is not inspect.Parameter.empty:
            value = another_value(hint, default)
            try:
                yield name, value, entry.cls(**needed, **{name: value})
            except (ImportError, TypeError, ValueError):
                continue  # it needs other arguments or packages too


def config(thing):
    """The configuration without names, which Keras numbers."""
    return unnamed(thing.get_config())


def unnamed(value):
    if isinstance(value, dict):
        return {key: unnamed(x) for key, x in value.items() if key != "name"}
    return [*map(unnamed, value)] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("entry", REGISTRY.values(), ids=REGISTRY)
def test_tells_what_differs(entry):
    needed = required(entry)
    optional = [*others(entry, needed)]
    for name, value, thing in optional:
        kept = value if name == "learning_rate" else getattr(thing, name)
        assert f"{name}={kept!r}" in repr(thing)
    if "data" in needed:
        return
    for thing in (entry.cls(**needed), *(thing for _, _, thing in optional)):
        assert config(eval(repr(thing), dict(NAMES))) == config(thing)


def test_is_short():
    rate = schedules.Cosine(0.1, 100).shift(3)
    optimizer = optimizers.AdamW(rate, before=[modifiers.Centralize()], beta_1=np.float32(0.5))
    told = "learning_rate=Shifted(schedule=Cosine(initial_learning_rate=0.1, decay_steps=100), "
    told += "steps=3), beta_1=0.5, before=(Centralize(),)"
    assert repr(optimizer) == f"AdamW({told})"
    assert repr(optimizers.Lookahead(optimizer)) == f"Lookahead(inner=AdamW({told}))"
    assert repr(optimizers.AdamW()) == repr(optimizers.AdamW()) == "AdamW()"
    assert repr(optimizers.RMSprop(name="mine")) == "RMSprop(name='mine')"
    assert repr(schedules.create("cosine", 0.1)) == "Planned(name='cosine', learning_rate=0.1)"
    assert repr(callbacks.WeightAverager("swa", start=1)) == "WeightAverager(kind='swa', start=1)"


def test_the_signature_has_all_arguments_and_their_defaults():
    call = str(inspect.signature(optimizers.AdamW))
    assert call.startswith("(learning_rate=0.001, *, beta_1=0.9, beta_2=0.999, epsilon=1e-08, ")
    assert "use_ema=False" in call
    assert "kwargs" not in call
    for entry in REGISTRY.values():
        found = inspect.signature(entry.cls).parameters.values()
        named = {p.name: p.default for p in found if p.kind is not p.VAR_KEYWORD}
        assert named == declared_arguments(entry.cls)
    assert [*inspect.signature(schedules.Constant(1.0)).parameters] == ["t"]

    class Own(optimizers.SGD):
        def __init__(self, extra, **kwargs):
            super().__init__(**kwargs)
            self.extra = extra

    names = [*inspect.signature(Own).parameters]
    assert names[:2] == ["extra", "learning_rate"]
    assert names[-1] == "kwargs"


def test_tells_arrays_by_their_shape():
    data = (np.zeros((8, 2)), {"y": tf.zeros(8)}, [keras.ops.ones(3)])
    assert repr(callbacks.StepEvaluator(data, every=3)) == (
        "StepEvaluator(validation_data=(<float64 of shape (8, 2)>, {'y': <float32 of shape (8,)>}, "
        "[<float32 of shape (3,)>]), every=3)"
    )
    assert repr(regularizers.L2SP(reference=np.ones((3, 2)))) == (
        "L2SP(reference=<float32 of shape (3, 2)>)"
    )
