"""`decay="cautious"` decays exactly the entries in which direction and weight have equal signs."""

import keras
import numpy as np
import pytest

from keras_gdx.config import declared_arguments
from keras_gdx.optimizers import LAMB, SGD, AdamW, Muon, ScheduleFree
from tests.contract.rules import ENTRIES, RULES, make
from tests.reference.lamb import length

RESCALED = ("lamb", "lars")  # their trust ratio spreads the decay of one entry over all
RESTING = ("soap",)  # it does not move in its first step
PULLING = ("ftrl",)  # its first step shrinks every weight, so that it decays every one
SHAPES = (6, 5), (7,), (2, 2, 3, 2)


def problem():
    rng = np.random.default_rng(2)
    weights = [rng.normal(size=s) for s in SHAPES]
    gradients = [rng.normal(size=s) for s in SHAPES]
    weights[0][0, 0] = gradients[0][1, 1] = 0.0
    return weights, gradients


def after(optimizer, weights, gradients):
    variables = [keras.Variable(w, dtype="float64") for w in weights]
    optimizer.build(variables)
    optimizer.apply([keras.ops.array(g) for g in gradients], variables)
    return [v.numpy() for v in variables]


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in RESCALED + RESTING])
def test_every_other_entry_steps_as_without_decay(rule):
    weights, gradients = problem()

    def stepped(**options):
        return after(make(rule, **options), weights, gradients)

    free, plain = stepped(weight_decay=None), stepped(weight_decay=0.5)
    cautious = stepped(weight_decay=0.5, decay="cautious")
    counts = []
    for w, a, b, found in zip(weights, free, plain, cautious, strict=True):
        same = (w - a) * w >= 0  # the signs of direction and weight
        np.testing.assert_allclose(found, np.where(same, b, a), rtol=1e-6, atol=1e-9)
        counts.append(np.sum(same & (a != b)))
        assert 0 < np.sum(same) < w.size + (rule in PULLING) or (a == w).all()
    assert max(counts) > 5


def test_the_sign_is_that_of_the_direction_and_not_of_the_gradient():
    w = np.array([1.0, 1.0, -1.0, -1.0])
    steps = np.array([[1.0, -1.0, 1.0, -1.0], [-0.25, 0.25, -2.0, 0.5]])
    optimizer = SGD(0.125, momentum=0.5, weight_decay=0.5, decay="cautious")
    variable = keras.Variable(w, dtype="float64")
    u = 0.0
    for g in steps:
        optimizer.apply([keras.ops.array(g)], [variable])
        u = 0.5 * u + g
        w = w - 0.125 * (u + 0.5 * w * (u * w >= 0))
        np.testing.assert_allclose(variable.numpy(), w, rtol=1e-12)
    assert len({*(u * w >= 0)}) == 2
    assert (u * steps[-1] < 0).any()


def test_lamb_decides_inside_its_trust_ratio():
    weights, gradients = problem()
    rate, decay, epsilon = 0.125, 0.5, 1e-6
    found = after(LAMB(rate, weight_decay=decay, decay="cautious"), weights, gradients)
    for w, g, x in zip(weights, gradients, found, strict=True):
        u = g / (np.abs(g) + epsilon)
        r = u + decay * w * (u * w >= 0)
        np.testing.assert_allclose(x, w - rate * length(w) / length(r) * r, rtol=1e-6, atol=1e-9)


def test_a_rule_with_its_own_decay_is_decayed_once_inside_an_average():
    """The first step, whose average is the step itself."""
    weights, gradients = problem()
    alone = after(LAMB(0.125, weight_decay=0.5), weights, gradients)
    found = after(ScheduleFree(LAMB(0.125, weight_decay=0.5)), weights, gradients)
    for a, b in zip(alone, found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-9)


def test_a_fallback_has_its_own_form_of_decay():
    weights, gradients = problem()

    def stepped(form):
        fallback = AdamW(0.125, weight_decay=0.5, decay=form)
        return after(Muon(0.125, weight_decay=0.5, fallback=fallback), weights, gradients)

    plain, cautious = stepped("plain"), stepped("cautious")
    w, g = weights[1], gradients[1]
    free = w - 0.125 * g / (np.abs(g) + 1e-8)
    np.testing.assert_allclose(plain[1], free - 0.125 * 0.5 * w, rtol=1e-6)
    np.testing.assert_allclose(cautious[1], free - 0.125 * 0.5 * w * (g * w >= 0), rtol=1e-6)
    np.testing.assert_array_equal(plain[0], cautious[0])


@pytest.mark.parametrize("rule", ENTRIES)
def test_no_argument_hides_a_method(rule):
    """As `decay` would, if the hook had this name too."""
    cls = ENTRIES[rule].cls
    hidden = [n for n in declared_arguments(cls) if callable(getattr(cls, n, None))]
    assert not hidden
