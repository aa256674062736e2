"""Papers transcribed independently in NumPy, one file for each class of the package."""

from importlib import import_module
from importlib.util import find_spec

import pytest

from keras_gdx.registry import REGISTRY


def load_reference(name, function):
    """The reference of a rule or modifier: `HYPER`, a tuple of arguments to test, and a function.

    For a modifier that is `modified(g, w, **hyper)` for one variable, or `modified_model`, of the
    same arguments, for lists with those of all variables.

    Optional for a rule are `SETTINGS`, arguments for the contract tests; `final`, the evaluation
    weights after the last step; and `DTYPES`, the dtypes to test, if the rule does not compute in
    the dtype of the variables.
    """
    if find_spec(f"tests.reference.{name}") is None:
        pytest.fail(
            f"{name} has no reference. Write tests/reference/{name}.py: its paper in NumPy, "
            f"`{function}`, and `HYPER`, a tuple of arguments to test.",
            pytrace=False,
        )
    return import_module(f"tests.reference.{name}")


def references(kind):
    """Pairs of a class of this kind and its reference, for those that have one."""
    for name, entry in REGISTRY.items():
        if entry.kind == kind and find_spec(f"tests.reference.{name}"):
            yield entry.cls, import_module(f"tests.reference.{name}")


def settings(rule):
    """The arguments that `SETTINGS` of the rule's reference has for the contract tests.

    Only needed if a few steps at the learning rate 0.02 hardly change the weights.
    """
    if not find_spec(f"tests.reference.{rule}"):
        return {}
    return getattr(import_module(f"tests.reference.{rule}"), "SETTINGS", {})
