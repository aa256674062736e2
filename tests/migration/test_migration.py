"""Each row of docs/migrate says the truth: what it writes does what the other library did."""

import ast
import inspect
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_gdx
from keras_gdx import optimizers
from keras_gdx.config import declared_arguments
from keras_gdx.migration.script import ROWS as TABLE
from keras_gdx.migration.script import TABLES, changes
from tests.migration import cases
from tests.migration.problem import GRADIENTS, RATES, ROWS, UPDATES, WEIGHTS, is_sparse

RECORDED = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in Path(__file__).parent.glob("*.json")
}
VALUES = {call: x for each in RECORDED.values() for call, x in each["values"].items()}
ARGUMENTS = {name: x for each in RECORDED.values() for name, x in each["arguments"].items()}
IMPORTS = "import keras, optax, tensorflow_addons as tfa, timm, torch, transformers\n"
HANDLED_ELSEWHERE = {
    "optimizer",
    "params",
    "update_weights",
    "warmup_prefix",
}  # required there, not written here
KERAS = [
    f"{module}.{name}"
    for module, kind in (
        ("keras.optimizers", keras.optimizers),
        ("keras.optimizers.schedules", keras.optimizers.schedules),
        ("keras.callbacks", keras.callbacks),
        ("keras.regularizers", keras.regularizers),
    )
    for name, thing in vars(kind).items()
    if inspect.isfunction(thing) or (inspect.isclass(thing) and thing.__name__ == name)
]


class Weights(keras.layers.Layer):
    """A weight, with the gradient that a batch brings."""

    def __init__(self, name):
        super().__init__(name=name)
        start = keras.initializers.Constant(WEIGHTS[name])
        self.weight = self.add_weight(WEIGHTS[name].shape, start, name="weight")

    def call(self, gradients):
        return keras.ops.sum(gradients * self.weight)


def written(call):
    """What is to be written here, as an object, and the layers that it is for."""
    (change,) = changes(IMPORTS + call)
    assert change.new, change
    assert not set(change.lost) - HANDLED_ELSEWHERE, change
    layers = {name: Weights(name) for name in WEIGHTS}
    names = {"keras_gdx": keras_gdx, "keras": keras, "layers": layers}
    return eval(change.new, {**names, "optimizer": SimpleNamespace(lr=0.125)}), layers


def run(made, layers, call):
    """The weights after some updates, or the values of a schedule."""
    if isinstance(made, keras.optimizers.schedules.LearningRateSchedule):
        return np.array([float(made(t)) for t in range(RATES)])
    if isinstance(made, keras.callbacks.Callback):
        return fitted(optimizers.SGD(0.125), layers, made)
    variables = [layer.weight for layer in layers.values()]
    for t in range(UPDATES):
        gradients = {name: tf.constant(g[t]) for name, g in GRADIENTS.items()}
        if is_sparse(call):
            rows = tf.gather(gradients["kernel"], ROWS)
            gradients["kernel"] = tf.IndexedSlices(rows, tf.constant(ROWS), (4, 3))
        made.apply(list(gradients.values()), variables)
    made.finalize_variable_values(variables)  # averages, if there are any
    return flat(variables)


def fitted(optimizer, layers, callback):
    """The weights after a `fit` whose batches have the same gradients."""
    inputs = {name: keras.Input(w.shape, name=f"{name}_gradient") for name, w in WEIGHTS.items()}
    model = keras.Model(inputs, sum(layers[name](x) for name, x in inputs.items()))
    model.compile(optimizer, lambda y, loss: loss)
    options = {"batch_size": 1, "shuffle": False, "verbose": 0}
    model.fit(GRADIENTS, np.zeros(UPDATES), callbacks=[callback], **options)
    return flat(layer.weight for layer in layers.values())


def flat(variables):
    return np.concatenate([np.ravel(v.numpy()) for v in variables])


def compare(found, expected, call, atol):
    if call in cases.OTHER_STEPS:
        assert np.abs(found - expected).max() > 1e-3
    else:
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=atol)


@pytest.mark.parametrize("call", VALUES)
def test_what_is_written_here_does_what_was_recorded(call):
    compare(run(*written(call), call), VALUES[call], call, atol=2e-6)


@pytest.mark.parametrize("call", cases.KERAS)
def test_what_is_written_here_does_what_keras_does(call):
    theirs = {name: Weights(name) for name in WEIGHTS}
    # Keras computes `1 - beta_2**t` in float32, with an error of 1e-4 at the first step.
    compare(run(*written(call), call), run(eval(call), theirs, call), call, atol=1e-5)


@pytest.mark.parametrize("call", cases.SETTINGS)
def test_what_is_written_here_has_these_settings(call):
    cls, settings = cases.SETTINGS[call]
    made, _ = written(call)
    assert type(made).__name__ == cls
    found = {name: getattr(made, name) for name in settings}
    if "learning_rate" in settings:
        found["learning_rate"] = pytest.approx(float(found["learning_rate"]))
    assert found == settings


READABLE = [call for call in cases.KERAS if call.endswith("()") and call not in cases.OTHER_STEPS]


@pytest.mark.parametrize("call", READABLE)
def test_from_keras_and_the_row_agree(call):
    try:
        read = optimizers.Optimizer.from_keras(eval(call))
    except ValueError:
        return  # the row writes something, and says what differs
    expected, _ = written(call)
    assert type(read) is type(expected)
    found, settings = read.get_config(), expected.get_config()
    assert found.pop("learning_rate") == pytest.approx(settings.pop("learning_rate"))
    assert (found.pop("weight_decay") or 0.0) == (settings.pop("weight_decay") or 0.0)
    assert found | {"name": None} == settings | {"name": None}


# -- completeness ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*ARGUMENTS, *KERAS])
def test_everything_of_the_library_has_a_row(name):
    assert name in TABLE


@pytest.mark.parametrize("library", RECORDED)
def test_cases_are_recorded(library):
    assert [*RECORDED[library]["values"]] == getattr(cases, library.upper())


@pytest.mark.parametrize("name", [name for name, row in TABLE.items() if row.write])
def test_what_a_row_writes_is_tested(name):
    module, _, short = name.rpartition(".")
    calls = [*VALUES, *cases.KERAS, *cases.SETTINGS]
    tested = {call.partition("(")[0].replace("tfa.", "tensorflow_addons.") for call in calls}
    assert name in tested, f"tests/migration/cases.py has no call of {short} in {module}"


@pytest.mark.parametrize("name", [name for name, row in TABLE.items() if row.write])
def test_a_row_has_the_arguments_and_defaults_of_the_other_library(name):
    mine = {
        p.name: "required" if p.default is p.empty else repr(p.default)
        for p in inspect.signature(TABLE[name].write).parameters.values()
        if p.kind is p.POSITIONAL_OR_KEYWORD
    }
    if name.startswith("keras."):
        theirs = keras_arguments(name)
    elif name in ARGUMENTS:
        theirs = ARGUMENTS[name]
    else:
        assert name.startswith("transformers.TrainingArguments")
        return
    assert [*mine.items()] == [*theirs.items()][: len(mine)]
    if name.startswith(("tensorflow_addons.", "keras.")):
        assert not theirs.keys() - mine.keys() - same_here(TABLE[name].write)


def keras_arguments(name):
    thing = keras
    for part in name.split(".")[1:]:
        thing = getattr(thing, part)
    parameters = [*inspect.signature(thing.__init__).parameters.values()][1:]
    return {
        p.name: "required" if p.default is p.empty else repr(p.default)
        for p in parameters
        if p.kind is p.POSITIONAL_OR_KEYWORD
    }


def same_here(write):
    """The options that a row passes on, which have the same defaults in Keras and here."""
    if "kwargs" not in inspect.signature(write).parameters:
        return set()
    own = declared_arguments(optimizers.SGD)
    theirs = keras_arguments("keras.optimizers.SGD")
    return {name for name, x in theirs.items() if name in own and repr(own[name]) == x}


# -- words -----------------------------------------------------------------------------------

OURS = ("callbacks", "constraints", "modifiers", "optimizers", "regularizers", "schedules")
TEXTS = [row.note for row in TABLE.values()]
TEXTS += [sys.modules[f"keras_gdx.migration.{name}"].__doc__ for name in TABLES]
CODE = sorted(
    {
        code
        for text in TEXTS
        for code in re.findall(r"`([^`]+)`", text)
        if re.match(rf"(keras|keras_gdx|{'|'.join(OURS)})\.", code) and "..." not in code
    }
)


@pytest.mark.parametrize("code", CODE)
def test_code_in_a_note_names_what_exists(code):
    names = {"keras": keras, "keras_gdx": keras_gdx}
    names |= {name: getattr(keras_gdx, name) for name in OURS}
    node = ast.parse(code, mode="eval").body
    thing = eval(ast.unparse(node.func if isinstance(node, ast.Call) else node), names)
    if isinstance(node, ast.Call):
        keywords = {keyword.arg: None for keyword in node.keywords}
        inspect.signature(thing).bind(*node.args, **keywords)


INDEX = Path(__file__).resolve().parents[2] / "docs" / "migrate" / "index.md"


def test_the_index_links_to_all_tables():
    assert re.findall(r"\]\((\w+)\.md\)", INDEX.read_text(encoding="utf-8")) == [*TABLES]


def test_the_index_shows_what_the_command_answers():
    text = INDEX.read_text(encoding="utf-8")
    old, new, note = re.search(r"^train\.py:12: (.*)\n    (.*)\n    (.*)\n```", text, re.M).groups()
    (change,) = changes(IMPORTS + old)
    assert (change.old, change.new, change.note) == (old, new, note)
