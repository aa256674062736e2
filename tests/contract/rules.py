"""The rules under test, made with settings in which a few steps are visible."""

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


def in_time(rules):
    """The rules as parameters, those of which another one is much alike marked as slow."""
    return [r if r in FIRST else pytest.param(r, marks=pytest.mark.slow) for r in rules]


every_rule_in_time = pytest.mark.parametrize("rule", in_time(RULES))


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
