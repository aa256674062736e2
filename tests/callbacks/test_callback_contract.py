"""The contract of every registered callback.

It tests the variable `callback` of the docstring's example, with the model and the data of the
example's `fit` if it has one.
"""

import doctest
import inspect
import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_gdx.callbacks
from keras_gdx.callbacks import Stateful
from keras_gdx.callbacks.base import if_needed
from keras_gdx.config import declared_arguments
from keras_gdx.registry import REGISTRY
from tests.data import in_batches
from tests.declared import refuses_wrong_values

ENTRIES = [entry for entry in REGISTRY.values() if entry.kind == "callback"]
BATCH_HOOKS = [
    f"on_{kind}batch_{end}"
    for kind in ("", "train_", "test_", "predict_")
    for end in ("begin", "end")
]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "callbacks.md"


class Fit(Exception):  # noqa: N818
    """Ends an example where it trains; has the arguments of that `fit`."""


class Example:
    """What the docstring of a callback shows: the callback, and how to train with it.

    Args:
        cls: Class of the callback.
        problem: Model and data for an example without `fit`.
    """

    def __init__(self, cls, problem):
        names = vars(inspect.getmodule(cls)).copy()
        self.model, self.x, self.y = problem.model(), problem.x, problem.y
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(keras.Model, "fit", self._fit)
                for statement in doctest.DocTestParser().get_examples(cls.__doc__):
                    exec(compile(statement.source, f"<{cls.__name__}>", "single"), names)
        except Fit as fit:
            self.model, self.x, self.y = fit.args
        assert type(names.get("callback")) is cls, "the example has no variable `callback`"
        self.callback = names["callback"]

    @staticmethod
    def _fit(model, x, y, **options):
        raise Fit(model, x, y)

    def train(self, epochs, **options):
        """Trains in about five batches per epoch; returns the history."""
        keras.utils.set_random_seed(1)
        data = in_batches(-(-len(self.x) // 5), self.x, self.y)
        options = {"validation_data": data, "shuffle": False, "verbose": 0} | options
        return self.model.fit(data, epochs=epochs, callbacks=[self.callback], **options).history


@pytest.fixture
def example(cls, problem, tmp_path, monkeypatch):
    """Makes the example of a callback."""
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)

    def make():
        keras.utils.set_random_seed(0)
        return Example(cls, problem)

    return make


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
def test_configuration_survives(cls, example):
    if any(name.endswith("data") for name in declared_arguments(cls)):
        pytest.skip("data are no configuration")
    callback = example().callback
    again = cls.from_config(json.loads(json.dumps(callback.get_config())))
    assert again.get_config() == callback.get_config()
    other = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(callback))
    assert type(other) is cls
    assert other.get_config() == callback.get_config()


@every_callback
def test_what_the_types_exclude_is_refused(cls, example):
    refuses_wrong_values(example().callback)


@every_callback
def test_every_argument_is_annotated(cls):
    for base in cls.__mro__:
        if base.__module__.startswith("keras_gdx.") and "__init__" in vars(base):
            for parameter in [*inspect.signature(base.__init__).parameters.values()][1:]:
                assert parameter.annotation is not inspect.Parameter.empty, parameter


@every_callback
def test_state_survives_as_json(cls, example):
    trained, again = example(), example().callback
    trained.train(epochs=3)
    again.restore(through_json(trained.callback.state()))
    np.testing.assert_equal(again.state(), trained.callback.state())
    assert isinstance(again, Stateful)


@every_callback
def test_unknown_state_is_refused(cls, example):
    with pytest.raises(ValueError, match="does not remember unheard_of"):
        example().callback.restore({"unheard_of": 1})


@every_callback
def test_interrupted_is_uninterrupted(cls, example):
    if not cls.resumes_exactly:
        pytest.skip("it measures time, or ends where it began")
    whole, parts, second = example(), example(), example().callback
    straight = whole.train(epochs=4)
    before = parts.train(epochs=2)
    second.restore(through_json(parts.callback.state()))
    parts.callback = second
    after = parts.train(epochs=4, initial_epoch=2)
    np.testing.assert_equal(second.state(), whole.callback.state())
    assert {key: before.get(key, []) + after.get(key, []) for key in straight} == straight


@every_callback
def test_findings_are_rows(cls, example):
    trained = example()
    trained.train(epochs=2)
    rows = trained.callback.findings()
    assert all(isinstance(row, dict) and row for row in rows)
    steps = [row["step"] for row in rows if "step" in row]
    assert steps == sorted(steps)
    json.dumps(list(rows))


@every_callback
def test_batches_cost_nothing(cls, example):
    """Where Keras reads logs on another thread, a single batch hook disables that."""
    if always_at_batches(cls):
        pytest.skip("its work is there")
    callback = example().callback
    for hook in BATCH_HOOKS:
        found = getattr(callback, hook)
        assert found.__func__ is getattr(keras.callbacks.Callback, hook)


def always_at_batches(cls):
    hooks = [inspect.getattr_static(cls, hook) for hook in BATCH_HOOKS]
    theirs = [inspect.getattr_static(keras.callbacks.Callback, hook) for hook in BATCH_HOOKS]
    return any(
        mine is not default and not isinstance(mine, if_needed)
        for mine, default in zip(hooks, theirs, strict=True)
    )


def test_the_page_tells_which_work_at_the_end_of_an_epoch():
    rows = PAGE.read_text(encoding="utf-8").partition("## Cost")[2].splitlines()
    first = next(i for i, row in enumerate(rows) if row.startswith("| at the end of an epoch"))
    last = next(i for i, row in enumerate(rows) if row.startswith("| every batch"))
    names = re.findall(r"`(\w+)`", "".join(row.split("|")[2] for row in rows[first:last]))
    assert len(names) > 8
    assert not [name for name in names if always_at_batches(getattr(keras_gdx.callbacks, name))]


@every_callback
def test_docstring_is_complete(cls):
    for section in ("Args:", "Example:"):
        assert section in cls.__doc__
    assert len(cls.__doc__.partition("\n")[0]) <= 80
