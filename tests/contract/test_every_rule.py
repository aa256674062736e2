"""What every rule has to show by itself, with all options at the same time.

What the engine promises is tested with a few rules that have every trait. Here each rule is traced
once in each way of running it, and all tests use these programs. Tests of what only the engine
does with these options are those of the few rules.
"""

import copy
import re
from functools import cache

import keras
import numpy as np
import pytest

from keras_gdx.backends import backend
from tests.contract.harness import assert_same, batches, collectives
from tests.contract.rules import COMBINED, DECOMPOSITIONS, FIRST, RULES, core, make, suited
from tests.contract.tower import Tower

DATA = list(batches(5))  # two windows and the beginning of another one
WAYS = {
    "plain": {"mode": "eager", "fused": False},
    "compiled": {"mode": "xla", "fused": True},
    "replicas": {"mode": "graph", "shard_state": True},
}


def each_of(rules):
    """Parametrizes a test; one process runs all tests of a rule."""

    def marks(rule):
        return pytest.mark.xdist_group(f"rule {rule}"), *[pytest.mark.slow] * (rule not in FIRST)

    params = [pytest.param(rule, marks=marks(rule)) for rule in rules]
    return pytest.mark.parametrize("rule", params, scope="module")


every_rule = each_of(RULES)


class Program(Tower):
    """A run that returns to its beginning without being traced again."""

    def __init__(self, rule, strategy=None, mode="graph", shard_state=False, **options):
        options |= suited(rule, COMBINED)
        if shard_state and core(make(rule)).divisible:
            options["shard_state"] = True
        super().__init__(lambda: make(rule, **options), strategy, mode)
        self.begin = self.values()

    def copies(self):
        variables = [*self.model, *self.optimizer.variables]
        return [copy for v in variables for copy in backend.copies(v)]

    def values(self):
        return [copy.numpy() for copy in self.copies()]

    def again(self, data):
        """Trains from the beginning."""
        for variable, value in zip(self.copies(), self.begin, strict=True):
            variable.assign(value)
        return self.train(data)


@pytest.fixture(scope="module")
def program(rule, mirrored):
    """A function from one of `WAYS` to the rule's program, at its beginning."""
    made = cache(lambda way: Program(rule, mirrored if way == "replicas" else None, **WAYS[way]))

    def run(way):
        return made(way).again([])

    yield run
    made.cache_clear()


def assert_equal(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@every_rule
def test_however_it_is_run_the_steps_are_the_same(rule, program):
    plain = program("plain").train(DATA[:4])
    for way in WAYS.keys() - {"plain"}:
        run = program(way).train(DATA[:4])
        optimizer = core(run.optimizer)
        assert optimizer.iterations.numpy() == 2
        shared = any(bucket.replicas == 2 for bucket in optimizer.state.buckets)
        assert shared == optimizer.shard_state, "nothing was shared, so nothing was tested"
        assert_same(run, plain)
        for mine, its in zip(run.slots(), plain.slots(), strict=True):
            np.testing.assert_allclose(mine, its, atol=5e-6, rtol=1e-3, err_msg=way)
        averages = (core(each.optimizer).averages() or [] for each in (run, plain))
        for mine, its in zip(*averages, strict=True):
            np.testing.assert_allclose(mine.numpy(), its.numpy(), atol=2e-6, rtol=2e-5)
        for v in run.model:
            first, *others = (copy.numpy() for copy in backend.copies(v))
            assert_equal(others, [first] * len(others))


@each_of(FIRST)
def test_an_incomplete_window_counts(rule, program):
    plain, run = (program(way).train(DATA) for way in ("plain", "compiled"))
    for each in (plain, run):
        each.optimizer.flush()
        assert each.optimizer.iterations.numpy() == 3
    assert_same(run, plain)


@every_rule
def test_an_infinity_on_one_replica_is_no_step(rule, program):
    run = program("replicas").train(DATA[:2])
    before = run.values()
    x, y = DATA[2]
    broken = np.where(np.arange(len(x))[:, None] == len(x) - 1, np.inf, x).astype("float32")
    run.train([(broken, y), DATA[3]])
    assert run.optimizer.iterations.numpy() == 1
    assert_equal(run.train(DATA[2:4]).values(), program("replicas").train(DATA[:4]).values())
    assert any((a != b).any() for a, b in zip(before, run.values(), strict=True))


@every_rule
def test_one_reduction_per_update_and_none_per_micro_batch(rule, program):
    outside, inside = collectives(program("replicas"), DATA[0])
    assert not outside
    reductions = [op for op in inside if "Reduce" in op.type]  # pieces are gathered besides
    assert len(reductions) == 2  # one by each replica


@every_rule
def test_a_step_is_one_program_of_static_shapes(rule, program):
    """Requirements of XLA-only accelerators, as far as a CPU can check them."""
    step = program("compiled").step
    text = step.experimental_get_compiler_ir(*map(keras.ops.convert_to_tensor, DATA[0]))("hlo")
    assert not re.findall(r"\b(infeed|outfeed|send|recv|send-done|recv-done)\(", text)
    called = {*re.findall(r'custom_call_target="([^"]+)"', text)}
    assert called <= DECOMPOSITIONS  # no calls to the host
    assert "<=" not in text  # no dimension that is known only at run time


@every_rule
def test_a_file_has_all_that_the_next_steps_depend_on(rule, program):
    """In the middle of a window."""
    run = program("compiled").train(DATA[:3])
    optimizers = {id(x): x for x in (run.optimizer, core(run.optimizer))}.values()
    stores, weights = [], [v.numpy() for v in run.model]
    for optimizer in optimizers:
        stores.append({})
        optimizer.save_own_variables(stores[-1])
    expected = run.train(DATA[3:]).values()

    run.again(DATA[::-1])
    for v, value in zip(run.model, weights, strict=True):
        v.assign(value)
    for optimizer, store in zip(optimizers, stores, strict=True):
        optimizer.load_own_variables(store)
    assert_equal(run.train(DATA[3:]).values(), expected)

    config = keras.optimizers.serialize(run.optimizer)
    fresh = keras.optimizers.deserialize(copy.deepcopy(config))
    fresh.build(run.variables())
    for optimizer, store in zip(dict.fromkeys((fresh, core(fresh))), stores, strict=True):
        found = {}
        optimizer.load_own_variables(store)
        optimizer.save_own_variables(found)
        assert found.keys() == store.keys()
        assert_equal(found.values(), store.values())


@each_of([rule for rule in RULES if rule in FIRST or make(rule).evaluates_others])
def test_evaluation_weights_are_swapped_in_and_out(rule, program):
    run = program("replicas").train(DATA)
    before = run.values()
    with run.optimizer.evaluation_weights():
        assert any((a != b).any() for a, b in zip(run.values(), before, strict=True))
    assert_equal(run.values(), before)


@every_rule
def test_a_number_that_is_set_takes_effect_without_another_trace(rule, program):
    """Keras bakes numbers into the compiled step and ignores new values."""
    run = program("compiled")
    usual = run.train(DATA[:4]).weights()
    optimizer = core(run.optimizer)
    holder = getattr(optimizer, "inner", optimizer)
    for name, value in (("learning_rate", 0.01), ("weight_decay", 0.5)):
        run.again(DATA[:2])
        before = float(getattr(optimizer, name))
        setattr(optimizer, name, value)
        assert np.abs(run.train(DATA[2:4]).weights() - usual).max() > 1e-5
        assert holder.get_config()[name] == pytest.approx(value)
        setattr(optimizer, name, before)
    assert run.traces == 1
