"""The rules under test, made with settings in which a few steps are visible."""

import os

import pytest

import keras_gdx
from keras_gdx.registry import REGISTRY

SETTINGS = {"dog": {"reps_rel": 0.05}, "schedulefree": {}, "lookahead": {"sync_period": 3}}
WRAPPERS = ("localsteps", "lookahead", "schedulefree")  # their options are those of `inner`
DIFFERENT = ("localsteps",)  # replicas are meant to take other steps than one device
RULES = sorted(
    name for name, entry in REGISTRY.items() if entry.kind == "optimizer" and name not in DIFFERENT
)

FIRST = ("adamw", "dog", "lookahead", "muon", "schedulefreeadamw")  # one of each kind

every_rule = pytest.mark.parametrize("rule", RULES)
WHOLE_MATRIX = os.environ.get("KERAS_GDX_MATRIX") == "full"


def every_rule_in_time(name=None, choices=(), most=None, rules=RULES):
    """The rules as parameters, those of which another one is much alike marked as slow.

    Args:
        name: Another parameter, if there is one.
        choices: Its values. The first rule of each kind is tested with all of them.
        most: The value that asks the most at once, which is enough for the other rules.
        rules: Which rules.
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
    """The options without those for averages, if the rule's weights are averages already."""
    if not rule.startswith("schedulefree"):
        return options
    return {name: value for name, value in options.items() if "ema" not in name}


def make(rule, learning_rate=None, **options):
    """An optimizer whose steps are large enough to tell right from wrong."""
    rate = 0.02 if learning_rate is None else learning_rate
    if rule == "dog" and learning_rate is None:
        rate = 1.0
    settings = SETTINGS.get(rule, {})
    if rule in WRAPPERS:
        inner = keras_gdx.optimizers.Adam(rate, **options)
        return REGISTRY[rule].cls(inner, **settings)
    return REGISTRY[rule].cls(rate, **settings, **options)


def core(optimizer):
    """The optimizer that has the state of the options: Lookahead leaves them to the inner one."""
    return optimizer.inner if isinstance(optimizer, keras_gdx.optimizers.Lookahead) else optimizer
