"""The rules under test, with settings at which a few steps visibly change the weights."""

from itertools import product

import pytest

import keras_gdx
from keras_gdx.config import declared_arguments
from keras_gdx.optimizers.rule import Rule
from keras_gdx.optimizers.wrapper import Wrapper
from keras_gdx.registry import REGISTRY
from tests.matrix import WHOLE_MATRIX
from tests.reference import settings

ENTRIES = {name: entry for name, entry in REGISTRY.items() if entry.kind == "optimizer"}
WRAPPERS = [  # they have the options of `inner`
    name for name, entry in ENTRIES.items() if "inner" in declared_arguments(entry.cls)
]
# On replicas the first takes other steps than on one device, by definition; the second consists of
# rules that are tested here, and has tests of its own.
DIFFERENT = ("localsteps", "partition")
RULES = sorted(ENTRIES.keys() - {*DIFFERENT})
COMBINED = {
    "weight_decay": 0.1,
    "decay": "cautious",
    "no_decay": ["bias"],
    "global_clipnorm": 0.5,
    "gradient_accumulation_steps": 2,
    "skip_nonfinite": True,
    "loss_scale_factor": 8.0,
    "use_ema": True,
    "ema_momentum": 0.8,
}  # options that act on one another
DECOMPOSITIONS = {"Eigh", "Qr", "ProductOfElementaryHouseholderReflectors"}  # own calls of XLA


def suited(rule, options):
    """The options, without EMA for rules whose weights are averages already."""
    if not make(rule).evaluates_others:
        return options
    return {name: value for name, value in options.items() if "ema" not in name}


def rate_of(rule, usual=0.02):
    """The learning rate for the contract tests: that of the rule's settings, or the usual one."""
    return settings(rule).get("learning_rate", usual)


def rate_for(rule, size):
    """The learning rate that takes steps of this size: with 1, a conditional gradient rests."""
    return 1 - size if rule == "conditionalgradient" else size


def make(rule, learning_rate=None, **options):
    """An optimizer whose steps are large enough to detect errors."""
    given = dict(settings(rule))
    usual = given.pop("learning_rate", 0.02)
    rate = usual if learning_rate is None else learning_rate
    if rule in WRAPPERS:
        return REGISTRY[rule].cls(keras_gdx.optimizers.Adam(rate, **options), **given)
    return REGISTRY[rule].cls(rate, **given | options)


def core(optimizer):
    """The optimizer that implements the options: for `Lookahead` the inner one."""
    return optimizer.inner if isinstance(optimizer, keras_gdx.optimizers.Lookahead) else optimizer


def traits(rule):
    """All that the engine distinguishes about a rule, by name.

    What the engine promises is tested on the few rules of `FIRST`, which together have every
    trait; `test_every_rule` has the others.
    """
    optimizer = make(rule)
    slots = optimizer.all_slots()
    shapes = (4, 8), (8,), (2, 2, 2, 2)
    present = {
        "wraps": isinstance(optimizer, Wrapper),
        "mixes entries": not optimizer.elementwise,
        "is indivisible": not optimizer.divisible,
        "looks at the model": optimizer.uses_global_stats,
        "has parts": bool(optimizer.part_rules()),
        "chooses among parts": type(optimizer).part_of is not Rule.part_of,
        "has masks": bool(optimizer.masks),
        "evaluates others": optimizer.evaluates_others,
        "slots of other shapes": any(s.shape(shape) != shape for s in slots for shape in shapes),
        "copies weights": any(slot.init == "variable" for slot in slots),
        "slots without a value": any(slot.init != slot.init for slot in slots),
    }
    return {trait for trait, is_present in present.items() if is_present}


def representatives(rules):
    """A plain rule, and few others that together have every trait of the rules."""
    of = {rule: traits(rule) for rule in rules}
    chosen = [min(rules, key=lambda rule: len(of[rule]))]
    missing = set().union(*of.values())
    while missing:
        chosen.append(max(rules, key=lambda rule: len(of[rule] & missing)))
        missing -= of[chosen[-1]]
    return tuple(chosen)


# every rule, if this is set
FIRST = tuple(RULES) if WHOLE_MATRIX else representatives(RULES)
every_rule = pytest.mark.parametrize("rule", RULES)
first_rules = pytest.mark.parametrize("rule", FIRST)


def rules_with(rules=FIRST, **arguments):
    """Parametrizes a test: the first rule with all these values, each other rule with one in turn.

    A value that breaks the engine breaks it for the first rule; the others are there for what
    their traits may need besides. All pairs are tested where `KERAS_GDX_MATRIX=full`.
    """
    values = [*product(*arguments.values())]
    if WHOLE_MATRIX:
        pairs = product(rules, values)
    else:
        others = [(rule, values[i % len(values)]) for i, rule in enumerate(rules)][1:]
        pairs = [*product(rules[:1], values), *others]
    return pytest.mark.parametrize(("rule", *arguments), [(r, *v) for r, v in pairs], ids=str)
