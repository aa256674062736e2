"""Whatever a docstring says it was "Verified against" is recorded or transcribed here."""

import json
import re
from importlib.util import find_spec

import numpy as np
import pytest

from keras_gdx.registry import REGISTRY
from tests import test_golden
from tests.modifiers import test_modifiers
from tests.regularizers import test_regularizer_values, test_step_penalties
from tests.schedules import test_schedule_values

KINDS = ("optimizer", "modifier", "schedule", "regularizer", "constraint")
CLAIMING = {
    name: entry.verified
    for name, entry in REGISTRY.items()
    if entry.kind in KINDS and entry.cls.__module__.startswith("keras_gdx.")
}
OWN_TESTS = {  # what a test of its own compares with
    ("localsteps", "replicas trained one by one"),
    ("planned", "the schedule with its length given"),
    ("scheduled", "the regularizer times the schedule"),
    ("softthreshold", "NumPy"),
}


def claims(verified):
    """What the line names: packages, with version and function if given, and `NumPy`."""
    text = re.sub(r"\([^)]*\)", "", verified).replace("TensorFlow Addons", "tensorflow_addons")
    for claim in re.split("[,;]", text):
        claim = re.split(" for | on ", claim.strip().removeprefix("and "))[0].strip()
        yield "NumPy" if claim.endswith("NumPy") else claim


def evidence():
    """Pairs of a registered name and what its tests compare it with."""
    yield from OWN_TESTS
    for file in test_golden.FILES:
        with np.load(file) as recording:
            meta = json.loads(str(recording["meta"]))
        yield meta["rule"].lower(), meta["oracle"]
    for name in REGISTRY:
        if find_spec(f"tests.reference.{name}"):
            yield name, "NumPy"
    for _, here, there in test_modifiers.META:
        yield from ((name, there.partition("(")[0]) for name in made_in(here))
    for here, there, _ in test_schedule_values.ORACLES:
        yield from ((name, there) for name in made_in(here))
    for ours, theirs in (*test_schedule_values.AS_IN_KERAS, *test_regularizer_values.AS_IN_KERAS):
        yield name_of(ours), f"Keras {type(theirs).__name__}"
    values = test_regularizer_values
    for each in (
        *(schedule for schedule, _ in test_schedule_values.FORMULAS),
        *(schedule for schedule, _ in test_schedule_values.arithmetic()),
        *(case[0] for case in (values.CASES | values.SPECTRAL | values.GIVEN).values()),
        *test_step_penalties.PENALTIES,
    ):
        yield name_of(each), "NumPy"


def name_of(instance):
    return type(instance).__name__.lower()


def made_in(expression):
    """The classes that an expression makes instances of."""
    return [name.lower() for name in re.findall(r"(\w+)\(", expression)]


def agrees(claim, recorded):
    """Whether they are the same, as far as both go; a claim may have fewer digits of a version."""
    pairs = zip(claim.split(), recorded.split(), strict=False)
    return all(there == here or there.startswith(f"{here}.") for here, there in pairs)


EVIDENCE = {*evidence()}


def unfounded(name, verified):
    """The claims that nothing supports."""
    known = [recorded for each, recorded in EVIDENCE if each == name]
    return [x for x in claims(verified) if not any(agrees(x, recorded) for recorded in known)]


@pytest.mark.parametrize("name", CLAIMING)
def test_what_was_compared_is_here(name):
    assert not unfounded(name, CLAIMING[name])


@pytest.mark.parametrize(
    ("name", "verified"),
    [
        ("lion", "optax 0.2.7 lion"),
        ("lion", "pytorch_optimizer 4.1.0 Lion"),
        ("grokfast", "optax 0.2.8"),
        ("centralize", "optax 0.2.8 adaptive_grad_clip"),
        ("cosine", "torch CosineAnnealingWarmRestarts"),
        ("noam", "timm"),
        ("lp", "torch, NumPy"),
        ("constant", "NumPy"),
        ("unheard_of", "closed form in NumPy"),
    ],
)
def test_a_false_claim_is_noticed(name, verified):
    assert unfounded(name, verified)
