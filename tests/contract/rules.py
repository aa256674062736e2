"""The rules under test, with settings at which a few steps visibly change the weights."""

import os
from importlib import import_module
from importlib.util import find_spec

import pytest

import keras_gdx
from keras_gdx.config import declared_arguments
from keras_gdx.optimizers.wrapper import Wrapper
from keras_gdx.registry import REGISTRY

ENTRIES = {name: entry for name, entry in REGISTRY.items() if entry.kind == "optimizer"}
WRAPPERS = [  # they have the options of `inner`
    name for name, entry in ENTRIES.items() if "inner" in declared_arguments(entry.cls)
]
DIFFERENT = ("localsteps",)  # on replicas they take other steps than on one device, by definition
RULES = sorted(ENTRIES.keys() - {*DIFFERENT})
COMBINED = {
    "weight_decay": 0.1,
    "no_decay": ["bias"],
    "global_clipnorm": 0.5,
    "gradient_accumulation_steps": 2,
    "skip_nonfinite": True,
    "loss_scale_factor": 8.0,
    "use_ema": True,
    "ema_momentum": 0.8,
}  # options that act on one another
DECOMPOSITIONS = {"Eigh", "Qr", "ProductOfElementaryHouseholderReflectors"}  # own calls of XLA
WHOLE_MATRIX = os.environ.get("KERAS_GDX_MATRIX") == "full"


def suited(rule, options):
    """The options, without EMA for rules whose weights are averages already."""
    if not make(rule).evaluates_others:
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


def kind_of(rule):
    """All that the engine distinguishes about a rule, by name.

    Rules of one kind take the same ways through the engine, so what the engine promises is tested
    on the first rule of each kind.
    """
    optimizer = make(rule)
    slots = optimizer.all_slots()
    shapes = (4, 8), (8,), (2, 2, 2, 2)
    return {
        "wraps": isinstance(optimizer, Wrapper),
        "mixes entries": not optimizer.elementwise,
        "divides": optimizer.divisible,
        "looks at the model": optimizer.uses_global_stats,
        "has parts": bool(optimizer.parts),
        "has masks": bool(optimizer.masks),
        "evaluates others": optimizer.evaluates_others,
        "slots of other shapes": any(s.shape(shape) != shape for s in slots for shape in shapes),
        "copies weights": any(slot.init == "variable" for slot in slots),
        "slots without a value": any(slot.init != slot.init for slot in slots),
    }


def first_of_each_kind(rules):
    found = {}
    for rule in rules:
        found.setdefault(str(kind_of(rule)), rule)
    return tuple(found.values())


# every rule, if this is set
FIRST = tuple(RULES) if WHOLE_MATRIX else first_of_each_kind(RULES)
every_rule = pytest.mark.parametrize("rule", RULES)
first_rules = pytest.mark.parametrize("rule", FIRST)
