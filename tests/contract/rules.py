"""The rules under test, with settings at which a few steps visibly change the weights."""

import os

import pytest

import keras_gdx
from keras_gdx.registry import REGISTRY

SETTINGS = {"dog": {"reps_rel": 0.05}, "schedulefree": {}, "lookahead": {"sync_period": 3}}
WRAPPERS = ("localsteps", "lookahead", "schedulefree")  # they have the options of `inner`
DIFFERENT = ("localsteps",)  # on replicas they take other steps than on one device, by definition
RULES = sorted(
    name for name, entry in REGISTRY.items() if entry.kind == "optimizer" and name not in DIFFERENT
)

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


def make(rule, learning_rate=None, **options):
    """An optimizer whose steps are large enough to detect errors."""
    rate = 0.02 if learning_rate is None else learning_rate
    if rule == "dog" and learning_rate is None:
        rate = 1.0
    settings = SETTINGS.get(rule, {})
    if rule in WRAPPERS:
        inner = keras_gdx.optimizers.Adam(rate, **options)
        return REGISTRY[rule].cls(inner, **settings)
    return REGISTRY[rule].cls(rate, **settings, **options)


def core(optimizer):
    """The optimizer that implements the options: for `Lookahead` the inner one."""
    return optimizer.inner if isinstance(optimizer, keras_gdx.optimizers.Lookahead) else optimizer
