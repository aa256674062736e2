"""The rules under test, with settings at which a few steps visibly change the weights."""

import os
from importlib import import_module
from importlib.util import find_spec

import pytest

import keras_gdx
from keras_gdx.config import declared_arguments
from keras_gdx.registry import REGISTRY

ENTRIES = {name: entry for name, entry in REGISTRY.items() if entry.kind == "optimizer"}
WRAPPERS = [  # they have the options of `inner`
    name for name, entry in ENTRIES.items() if "inner" in declared_arguments(entry.cls)
]
DIFFERENT = ("localsteps",)  # on replicas they take other steps than on one device, by definition
RULES = sorted(ENTRIES.keys() - {*DIFFERENT})

FIRST = ("adamw", "dog", "lookahead", "muon", "schedulefreeadamw")  # one of each kind

every_rule = pytest.mark.parametrize("rule", RULES)
WHOLE_MATRIX = os.environ.get("KERAS_GDX_MATRIX") == "full"


def every_rule_in_time(name=None, choices=(), most=None, rules=RULES):
    """The rules as parameters; those similar to a rule in `FIRST` are marked as slow.

    Args:
        name: Name of a second parameter, if there is one.
        choices: Its values. The first rule of each kind is tested with all of them.
        most: The most demanding value, the only one that the other rules are tested with.
        rules: The rules.
    """
    found = []
    for rule in rules:
        marks = () if rule in FIRST else pytest.mark.slow
        if name is None:
            found.append(pytest.param(rule, marks=marks))
            continue
        some = choices if rule in FIRST or WHOLE_MATRIX else [most]
        found += [pytest.param(rule, choice, marks=marks) for choice in some]
    return pytest.mark.parametrize("rule" if name is None else ("rule", name), found)


def suited(rule, options):
    """The options, without EMA for rules whose weights are averages already."""
    if not rule.startswith("schedulefree"):
        return options
    return {name: value for name, value in options.items() if "ema" not in name}


def settings(rule):
    """The arguments that `SETTINGS` of the rule's reference has for the contract tests.

    Only needed if a few steps at the learning rate 0.02 hardly change the weights.
    """
    if not find_spec(f"tests.reference.{rule}"):
        return {}
    return getattr(import_module(f"tests.reference.{rule}"), "SETTINGS", {})


def rate_of(rule, usual=0.02):
    """The learning rate for the contract tests: that of the rule's settings, or the usual one."""
    return settings(rule).get("learning_rate", usual)


def make(rule, learning_rate=None, **options):
    """An optimizer whose steps are large enough to detect errors."""
    given = dict(settings(rule))
    usual = given.pop("learning_rate", 0.02)
    rate = usual if learning_rate is None else learning_rate
    if rule in WRAPPERS:
        return REGISTRY[rule].cls(keras_gdx.optimizers.Adam(rate, **options), **given)
    return REGISTRY[rule].cls(rate, **given, **options)


def core(optimizer):
    """The optimizer that implements the options: for `Lookahead` the inner one."""
    return optimizer.inner if isinstance(optimizer, keras_gdx.optimizers.Lookahead) else optimizer
