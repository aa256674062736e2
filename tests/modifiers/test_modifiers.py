"""Modifiers agree with optax and their formulas, in every optimizer, mode and file."""

import copy
import json
from itertools import pairwise
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gdx import modifiers
from keras_gdx.arguments import may_change
from keras_gdx.config import argument_types
from keras_gdx.optimizers import LAMB, SGD, Adam, AdamW
from keras_gdx.registry import REGISTRY
from keras_gdx.schedules import Constant, Linear
from tests.reference import load_reference
from tests.reference.cautious import modified as cautious
from tests.reference.centralize import modified as centralize
from tests.reference.updateclip import modified as update_clip

with np.load(Path(__file__).with_name("oracles.npz")) as _file:
    ORACLES = dict(_file)
META = json.loads(str(ORACLES.pop("meta")))
EVERY = sorted(name for name, entry in REGISTRY.items() if entry.kind == "modifier")
PLACES = [(name, place) for name in EVERY for place in REGISTRY[name].cls.sides]


def recorded(case):
    """The recorded arrays under `case/`, by variable."""
    return {k.partition("/")[2]: x for k, x in ORACLES.items() if k.partition("/")[0] == case}


WEIGHTS, GRADIENTS = recorded("weights"), recorded("gradients")
NAMES = list(WEIGHTS)


def several(count):
    """Gradients of `count` steps, the recorded ones first."""
    rng = np.random.default_rng(5)
    yield GRADIENTS
    for _ in range(count - 1):
        yield {name: rng.normal(size=g.shape) for name, g in GRADIENTS.items()}


def variables(dtype="float64"):
    return [keras.Variable(w, dtype=dtype, name=name) for name, w in WEIGHTS.items()]


def train(optimizer, steps, model=None, mode="eager"):
    """Yields the weights, by variable, before the first and after each step.

    A rate is stored in float32, so exact tests use powers of two.
    """
    model = model or variables()
    optimizer.build(model)

    def step(gradients):
        optimizer.apply_gradients(zip(gradients, model, strict=True))

    run = step if mode == "eager" else tf.function(step, jit_compile=mode == "xla")
    yield {v.name: v.numpy() for v in model}
    for gradients in steps:
        run([tf.constant(gradients[v.name], v.dtype) for v in model])
        yield {v.name: v.numpy() for v in model}


def changed(modifier, steps=(GRADIENTS,), place=None, dtype="float64"):
    """The output of a modifier: SGD at rate 1 subtracts exactly that from the weights."""
    place = place or modifier.sides[0]
    seen = list(train(SGD(1.0, **{place: [modifier]}), steps, variables(dtype)))
    return [{n: a[n] - b[n] for n in NAMES} for a, b in pairwise(seen)]


def assert_close(found, expected, rtol=1e-12, atol=1e-13):
    assert found.keys() == expected.keys()
    for name, x in found.items():
        np.testing.assert_allclose(x, expected[name], rtol=rtol, atol=atol, err_msg=name)


# -- values ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("case", "here", "there"), META, ids=lambda x: x)
def test_does_what_optax_does(case, here, there):
    modifier = eval(here, vars(modifiers))
    assert f"{there.partition('(')[0]}" in REGISTRY[type(modifier).__name__.lower()].verified
    for place in modifier.sides:
        assert_close(changed(modifier, place=place)[0], recorded(case))
        single = changed(eval(here, vars(modifiers)), place=place, dtype="float32")[0]
        assert_close(single, recorded(case), rtol=1e-5, atol=1e-6)


def test_the_record_has_both_sides_of_every_threshold():
    for _, here, there in META:
        modifier = eval(here, vars(modifiers))
        x = changed(modifier)[0]
        kept = {name: np.allclose(x[name], GRADIENTS[name], rtol=1e-9) for name in NAMES}
        assert not all(kept.values()), there
        assert any(kept.values()), there


over_every_modifier = pytest.mark.parametrize("name", EVERY)


def make(name, **options):
    return REGISTRY[name].cls(**options)


@over_every_modifier
def test_says_where_it_may_stand(name):
    """Each class defines `sides` itself and does not inherit it."""
    assert set(vars(REGISTRY[name].cls)["sides"]) <= {"before", "after"}


@over_every_modifier
def test_does_what_its_paper_says(name):
    reference = load_reference(name, "modified(g, w, **hyper)")
    for options in ({}, *reference.HYPER):
        assert_close(changed(make(name, **options))[0], modified(reference, **options))


def modified(reference, **options):
    """The gradients of the first step as the reference modifies them, by variable."""
    pairs = [(GRADIENTS[n], WEIGHTS[n]) for n in NAMES]
    if hasattr(reference, "modified_model"):
        found = reference.modified_model(*zip(*pairs, strict=True), **options)
    else:
        found = [reference.modified(g, w, **options) for g, w in pairs]
    return dict(zip(NAMES, found, strict=True))


def filtered(steps, alpha=0.98, lamb=2.0):
    """The authors' `gradfilter_ema`: https://github.com/ironjr/grokfast, transcribed."""
    grads = None
    for g in steps:
        if grads is None:
            grads = g
        grads = grads * alpha + g * (1 - alpha)
        yield g + grads * lamb, grads


def test_grokfast_does_what_the_authors_code_does():
    alpha, lam, steps = 0.7, 1.5, list(several(6))
    found = changed(modifiers.Grokfast(alpha, lam), steps)
    for n in NAMES:
        expected = filtered([step[n] for step in steps], alpha, lam)
        for t, (g, _) in enumerate(expected):
            np.testing.assert_allclose(found[t][n], g, rtol=1e-10, atol=1e-11)


def test_grokfast_keeps_its_average_in_its_slot():
    alpha, steps = 0.7, list(several(4))
    optimizer = SGD(1.0, before=[modifiers.Grokfast(alpha)])
    list(train(optimizer, steps))
    for n, slots in zip(NAMES, optimizer.state.slots, strict=True):
        (average,) = slots.values()
        *_, (_, expected) = filtered([step[n] for step in steps], alpha)
        np.testing.assert_allclose(average.read().numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("mode", "dtype", "fused"),
    [
        ("eager", None, False),
        ("graph", None, True),
        ("eager", "bfloat16", True),
        ("eager", "float16", False),
        ("eager", "int8", False),
        ("graph", "int8", True),
        ("xla", "int8", "auto"),
    ],
)
def test_grokfast_begins_with_the_first_gradient_of_each_variable(mode, dtype, fused):
    """Two small variables, which can be packed, and one large enough for 8 bits."""
    rng = np.random.default_rng(0)
    model = [keras.Variable(np.zeros(shape)) for shape in ((3,), (4,), (65, 64))]
    steps = [[rng.normal(size=v.shape).astype("float32") for v in model] for _ in range(5)]
    late = [0, 2, 3]  # the step of each variable's first gradient
    rule = SGD(1.0, before=[modifiers.Grokfast(0.75, 2.0)], state_dtype=dtype, fused=fused)
    rule.build(model)

    def step(gradients, members):
        rule.apply(gradients, [model[i] for i in members])

    for t, gradients in enumerate(steps):
        members = [i for i, first in enumerate(late) if first <= t]
        run = step if mode == "eager" else tf.function(step, jit_compile=mode == "xla")
        run([tf.constant(gradients[i]) for i in members], members)
        if t == 2:  # averages that have started, and those that have not, are restored from a file
            store = {}
            rule.save_own_variables(store)
            rule = SGD.from_config(rule.get_config())
            rule.build(model)
            rule.load_own_variables(store)
    tolerance = {None: 1e-6, "bfloat16": 0.03, "float16": 5e-3, "int8": 0.1}[dtype]
    for i, first in enumerate(late):
        total = sum(g for g, _ in filtered([s[i] for s in steps[first:]], 0.75))
        np.testing.assert_allclose(model[i].numpy(), -total, atol=tolerance)


def test_cautious_drops_what_momentum_does_against_the_gradient():
    momentum, rate, steps = 0.75, 0.125, list(several(5))
    seen = list(train(SGD(rate, momentum=momentum, after=[modifiers.Cautious()]), steps))
    u = {n: np.zeros_like(w) for n, w in WEIGHTS.items()}
    dropped = 0
    for t, gradients in enumerate(steps):
        for n, g in gradients.items():
            u[n] = momentum * u[n] + g
            agrees = u[n] * g > 0
            dropped += np.sum(u[n] * g < 0)
            expected = seen[t][n] - rate * u[n] * agrees / max(agrees.mean(), 1e-3)
            np.testing.assert_allclose(seen[t + 1][n], expected, rtol=1e-11, atol=1e-12)
    assert dropped > 20


def test_cautious_compares_with_the_gradient_that_the_rule_saw():
    """The error names the modifier after `before`."""
    turn = modifiers.Grokfast(0.0, 1.0)
    turn.__class__ = type("Turn", (modifiers.Grokfast,), {"__call__": lambda *a: (-a[2], a[5])})
    seen = list(train(SGD(1.0, before=[turn], after=[modifiers.Cautious()]), [GRADIENTS]))
    found = {n: seen[0][n] - seen[1][n] for n in NAMES}
    assert_close(found, {n: -cautious(GRADIENTS[n], None) for n in NAMES})


def test_lamb_is_adam_with_a_trust_ratio():
    steps = list(several(8))
    adam = AdamW(0.05, epsilon=1e-6, weight_decay=None, after=[modifiers.TrustRatio()])
    lamb = LAMB(0.05, weight_decay=0.0)
    plain = AdamW(0.05, epsilon=1e-6, weight_decay=None)
    *_, a = train(adam, steps, variables("float32"))
    *_, b = train(lamb, steps, variables("float32"))
    *_, c = train(plain, steps, variables("float32"))
    assert_close(a, b, rtol=1e-6, atol=1e-6)
    assert max(np.abs(a[n] - c[n]).max() for n in NAMES) > 0.01


# -- how they are put together ---------------------------------------------------------------


def halve(g, w):
    return np.where(np.abs(g) > 1, g / 2, g)


class Halve(modifiers.Modifier):
    """Halves values above 1, so that its input matters on either side."""

    def __call__(self, h, x, g, w):
        return keras.ops.where(abs(x) > 1, x / 2, x)


def test_modifiers_run_in_order():
    first, second = (centralize, modifiers.Centralize), (halve, Halve)
    results = []
    for (f, a), (g, b) in ((first, second), (second, first)):
        expected = {n: g(f(GRADIENTS[n], WEIGHTS[n]), WEIGHTS[n]) for n in NAMES}
        for place in ("before", "after"):
            seen = list(train(SGD(1.0, **{place: [a(), b()]}), [GRADIENTS]))
            assert_close({n: seen[0][n] - seen[1][n] for n in NAMES}, expected)
        results.append(expected)
    assert np.abs(results[0]["convolution"] - results[1]["convolution"]).max() > 0.01


def test_before_is_seen_by_the_rule_and_after_is_not():
    momentum, steps = 0.9, list(several(2))
    options = {"learning_rate": 1.0, "momentum": momentum}
    seen = {
        place: list(train(SGD(**options, **{place: [Halve()]}), steps))
        for place in ("before", "after")
    }
    for n in NAMES:
        g, h = (step[n] for step in steps)
        inside = momentum * halve(g, None) + halve(h, None)
        outside = halve(momentum * g + h, None)
        for place, expected in (("before", inside), ("after", outside)):
            found = seen[place][1][n] - seen[place][2][n]
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_weight_decay_stands_outside():
    clip, rate, decay = 0.1, 0.5, 0.2
    optimizer = SGD(rate, weight_decay=decay, after=[modifiers.UpdateClip(clip)])
    *_, found = train(optimizer, [GRADIENTS])
    expected = {
        n: w - rate * (update_clip(GRADIENTS[n], w, clip) + decay * w) for n, w in WEIGHTS.items()
    }
    assert_close(found, expected)


def numbers(name):
    """The arguments of a modifier that may be schedules, with values other than the defaults."""
    types = argument_types(REGISTRY[name].cls)
    options = load_reference(name, "modified(g, w, **hyper)").HYPER[0]
    assert set(options) == {n for n, hint in types.items() if may_change(hint)}
    return options


@pytest.mark.parametrize("name", [name for name in EVERY if numbers(name)])
def test_a_number_may_be_a_schedule(name):
    steps = list(several(4))
    options = numbers(name)
    fixed = changed(make(name, **options), steps)
    constant = changed(make(name, **{n: Constant(x) for n, x in options.items()}), steps)
    for a, b in zip(fixed, constant, strict=True):
        assert_close(a, b, rtol=1e-6, atol=1e-7)


def test_a_schedule_counts_updates_from_zero():
    schedule, steps = Linear(1.0, 4, 0.2), list(several(4))
    values = [1.0, 0.8, 0.6, 0.4]
    for mode in ("eager", "graph"):
        optimizer = SGD(1.0, after=[modifiers.UpdateClip(schedule)])
        seen = list(train(optimizer, steps, mode=mode))
        for t, value in enumerate(values):
            found = {n: seen[t][n] - seen[t + 1][n] for n in NAMES}
            expected = {n: update_clip(steps[t][n], None, value) for n in NAMES}
            assert_close(found, expected, rtol=1e-6, atol=1e-7)


def test_an_argument_does_not_leak_into_the_rule():
    """Adam has an `epsilon` too."""
    steps = list(several(3))
    never = modifiers.AdaptiveClip(1e6, epsilon=1.0)
    *_, a = train(Adam(0.1, epsilon=1e-7, before=[never]), steps)
    *_, b = train(Adam(0.1, epsilon=1e-7), steps)
    assert_close(a, b)


on_its_sides = pytest.mark.parametrize(("name", "place"), PLACES)


@on_its_sides
def test_xla_equals_graph_equals_eager(name, place):
    steps = list(several(4))
    results = []
    for mode in ("xla", "graph", "eager"):
        optimizer = Adam(0.05, **{place: [make(name, **numbers(name))]})
        *_, end = train(optimizer, steps, variables("float32"), mode)
        results.append(end)
    for end in results[:2]:
        assert_close(end, results[2], rtol=2e-5, atol=2e-6)
    assert np.abs(results[0]["matrix"] - WEIGHTS["matrix"]).max() > 1e-3


# -- configuration and files -----------------------------------------------------------------


@on_its_sides
@pytest.mark.parametrize("scheduled", [False, True], ids=["numbers", "schedules"])
def test_config_round_trip_inside_an_optimizer(name, place, scheduled):
    options = numbers(name)
    given = {n: Linear(x, 9, x / 2) for n, x in options.items()} if scheduled else options
    modifier = make(name, **given)
    clip = modifiers.AdaptiveClip(0.5) if place == "before" else modifiers.UpdateClip(0.5)
    first = SGD(0.1, **{place: [modifier, clip]})
    config = keras.optimizers.serialize(first)
    assert json.loads(json.dumps(config)) == config
    second = keras.optimizers.deserialize(copy.deepcopy(config))
    again, other = getattr(second, place)
    assert type(again) is type(modifier)
    assert again is not modifier
    assert other.get_config() == clip.get_config()
    assert keras.optimizers.serialize(second) == config
    for n in options:
        if scheduled:
            assert type(getattr(again, n)) is Linear
            assert getattr(again, n).get_config() == given[n].get_config()
        else:
            assert getattr(again, n) == options[n]
    steps = list(several(3))
    *_, a = train(first, steps)
    *_, b = train(second, steps)
    assert_close(a, b, rtol=0, atol=0)


def two_memories(*first):
    fast, slow = modifiers.Grokfast(0.2, 1.0), modifiers.Grokfast(0.9, 3.0)
    return SGD(0.125, before=[*first, fast, modifiers.Centralize(), slow])


def test_two_memories_are_kept_apart():
    steps = list(several(4))
    seen = list(train(two_memories(), steps))
    fast, slow = ({n: np.zeros_like(w) for n, w in WEIGHTS.items()} for _ in range(2))
    for t, gradients in enumerate(steps):
        for n, g in gradients.items():
            fast[n] = 0.2 * fast[n] + 0.8 * g if t else g
            g = centralize(g + fast[n], None)
            slow[n] = 0.9 * slow[n] + 0.1 * g if t else g
            expected = seen[t][n] - 0.125 * (g + 3 * slow[n])
            np.testing.assert_allclose(seen[t + 1][n], expected, rtol=1e-11, atol=1e-12)


def test_slots_are_saved_and_restored():
    """Also by an optimizer with another modifier in front of them."""
    steps = list(several(6))
    whole = two_memories()
    *_, expected = train(whole, steps)
    first, model = two_memories(), variables()
    list(train(first, steps[:3], model))
    store = {}
    first.save_own_variables(store)
    saved = {key for key in store if "|" in key}
    assert len(saved) == 2 * len(NAMES)

    second = two_memories(modifiers.AdaptiveClip(1e6))  # never clips
    second.build(model)
    second.load_own_variables(store)
    for a, b in zip(first.state.slots, second.state.slots, strict=True):
        assert list(a) == list(b) == ["grokfast_average", "grokfast_2_average"]
        one, two = (a[name].read().numpy() for name in a)
        assert (one != two).any()
        for name in a:
            np.testing.assert_array_equal(a[name].read().numpy(), b[name].read().numpy())
    *_, found = train(second, steps[3:], model)
    assert_close(found, expected, rtol=0, atol=0)


def test_slots_have_the_same_names_on_either_side():
    class Memory(modifiers.Modifier):
        slots = ("last", "largest")

    before = SGD(before=[modifiers.Centralize(), Memory()])
    for optimizer in (before, SGD(after=[Memory()])):
        assert [s.name for s in optimizer.all_slots()] == ["memory_last", "memory_largest"]


def test_without_its_memory_it_would_go_elsewhere():
    """Checks that the test above can fail."""
    steps = list(several(6))
    *_, expected = train(two_memories(), steps)
    model = variables()
    list(train(two_memories(), steps[:3], model))
    *_, found = train(two_memories(), steps[3:], model)
    assert max(np.abs(found[n] - expected[n]).max() for n in NAMES) > 0.01


def test_memory_is_counted():
    assert SGD(0.1).bytes_per_parameter((8, 8)) == 0
    assert two_memories().bytes_per_parameter((8, 8)) == 8
