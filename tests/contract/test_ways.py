"""However a step is executed and its state is stored, the weights are the same."""

from functools import cache

import keras
import numpy as np
import tensorflow as tf

from keras_gdx import modifiers
from keras_gdx.engine.state import packing
from tests.contract.harness import SHAPES, Run, assert_same, batches
from tests.contract.rules import COMBINED, core, first_rules, make, rules_with, suited

MODIFIED = {
    "before": [modifiers.Grokfast(0.5)],
    "after": [modifiers.Cautious()],
    "clipnorm": 0.3,
    "lr_multipliers": {"bias": 0.5},
}


@cache
def plain_run(rule):
    """The result that all modes must equal."""
    options = suited(rule, COMBINED)
    return Run(lambda: make(rule, fused=False, **options)).train(batches(6))


@rules_with(way=["graph", "xla"])
def test_packed_and_fused_equal_plain(rule, way):
    """`test_every_rule` packs with XLA, and `test_replicas` has graphs of the usual layout."""
    plain, options = plain_run(rule), suited(rule, COMBINED)
    fused = True if way == "graph" else "auto"
    other = Run(lambda: make(rule, fused=fused, **options), mode=way).train(batches(6))
    assert_same(plain, other)
    assert len(core(plain.optimizer).state.buckets) == len(SHAPES)
    for before, after in zip(*(core(r.optimizer).state.slots for r in (plain, other)), strict=True):
        assert before.keys() == after.keys()
        for name in before:
            np.testing.assert_allclose(
                before[name].read(), after[name].read(), atol=2e-6, rtol=2e-5, err_msg=name
            )


@first_rules
def test_fused_with_modifiers_equals_plain(rule):
    plain = Run(lambda: make(rule, fused=False, **MODIFIED)).train(batches(4))
    fused = Run(lambda: make(rule, fused=True, **MODIFIED)).train(batches(4))
    assert_same(plain, fused)


@first_rules
def test_fused_on_two_replicas_equals_plain_on_one(rule, mirrored):
    options = suited(rule, COMBINED)
    fused = Run(lambda: make(rule, fused=True, **options), mirrored).train(batches(6))
    assert_same(plain_run(rule), fused, atol=1e-5)
    for variable in fused.model:
        first, second = mirrored.experimental_local_results(variable.value)
        np.testing.assert_array_equal(first.numpy(), second.numpy())


@rules_with(state_dtype=["bfloat16", "int8"])
def test_fused_keeps_low_precision_state_as_plain_does(rule, state_dtype):
    """Equal, except where rounding crosses the edge of a code."""
    rng = np.random.default_rng(0)
    gradients = [rng.normal(size=(64, 80)).astype("float32") for _ in range(5)]
    found = []
    for fused in (False, True):
        w = keras.Variable(np.ones((64, 80), "float32"))
        optimizer = make(rule, state_dtype=state_dtype, fused=fused)
        optimizer.build([w])
        step = tf.function(lambda g: optimizer.apply([g], [w]), autograph=False)
        for gradient in gradients:
            step(tf.constant(gradient))
        found.append(w.numpy())
    assert np.abs(found[0] - 1).max() > 1e-3
    moved = np.abs(found[0] - 1).mean()
    assert np.abs(found[0] - found[1]).mean() < 1e-3 * moved


@rules_with(fused=["auto", True, False])
def test_variables_without_a_gradient_stay_in_a_packed_group(rule, fused):
    """A frozen branch shares flat state with trained variables, and does not change."""

    def train(names):
        model = [keras.Variable(np.ones(3, "float32"), name=name) for name in "abc"]
        optimizer = make(rule, fused=fused, weight_decay=0.1)
        optimizer.build(model)
        for step in range(4):
            given = [v for v in model if v.name in names or step == 0]
            optimizer.apply([np.full(3, 0.5 + step, "float32")] * len(given), given)
        return [v.numpy() for v in model], core(optimizer)

    alone, optimizer = train("ac")
    together, _ = train("abc")
    if not optimizer.uses_global_stats:  # that depends on all gradients
        np.testing.assert_allclose(alone[0], together[0], rtol=1e-6)
        np.testing.assert_allclose(alone[2], together[2], rtol=1e-6)
    assert np.abs(alone[1] - together[1]).max() > 1e-4
    packed = fused is not False and all(r.elementwise for r in optimizer.state.rules)
    assert len(optimizer.state.buckets) == (1 if packed else 3)


@first_rules
def test_state_moves_between_layouts(rule):
    data = list(batches(6))
    whole = Run(lambda: make(rule, fused=False)).train(data)
    first = Run(lambda: make(rule)).train(data[:3])
    second = Run(lambda: make(rule, fused=False))
    store = {}
    first.optimizer.save_own_variables(store)
    second.optimizer.load_own_variables(store)
    if core(first.optimizer) is not first.optimizer:
        inner = {}
        core(first.optimizer).save_own_variables(inner)
        core(second.optimizer).load_own_variables(inner)
    for v, w in zip(second.model, first.model, strict=True):
        v.assign(w)
    assert_same(whole, second.train(data[3:]))


def network(count, width):
    return [keras.Variable(np.ones(width, "float32"), name=f"w{i}") for i in range(count)]


def step(optimizer, variables):
    optimizer.build(variables)
    gradients = [tf.ones(v.shape) for v in variables]
    tf.function(lambda: optimizer.apply(gradients, variables), autograph=False)()
    return optimizer.state


def test_auto_packs_small_variables_and_compiles_one_program_for_all_large_ones():
    small, large = network(40, (500,)), network(3, (packing.FUSED // 2, 2))
    state = step(make("adamw"), [*small, *large])
    assert [len(g.indices) for g in state.buckets] == [40, 1, 1, 1]
    assert len(state.programs) == 1  # the small ones together are too small for a program
    state = step(make("adamw", fused=True), [*small, *large])
    assert len(state.programs) == 2
    state = step(make("adamw", fused=False), [*small, *large])
    assert len(state.buckets) == 43
    assert not state.programs


def test_the_number_of_programs_follows_the_kinds_of_variables_and_not_their_number():
    many = [*network(1000, (100,)), *network(30, (300, 300))]
    state = step(make("adamw", weight_decay=0.1, no_decay=["w1$"]), many)
    assert len(state.buckets) == 32  # 999 small ones with decay, one without, and the matrices
    assert len(state.programs) == 3  # for the 999, and for matrices with and without decay


def test_a_constraint_that_no_compiler_understands_still_holds():
    class Positive(keras.constraints.Constraint):
        def __call__(self, w):
            found = tf.numpy_function(lambda x: np.maximum(x, 0), [w], tf.float32)
            return tf.ensure_shape(found, w.shape)

    variables = network(2, (4,))
    variables[0].constraint = Positive()
    optimizer = make("sgd", 2.0, fused=True)
    step(optimizer, variables)
    assert variables[0].numpy().min() == 0
    assert variables[1].numpy().min() == -1


def test_lazy_updates_are_never_packed():
    state = step(make("adamw", sparse="lazy"), network(5, (4, 4)))
    assert len(state.buckets) == 5
