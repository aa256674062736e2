"""Micro-batches with gradients for some variables only, as in training several tasks in turn."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gdx.optimizers import SGD, SM3, AdamW, DoG, LocalSteps, Lookahead
from tests.contract.rules import core, make, rules_with, suited

TRUNK, HEAD_A, HEAD_B, UNUSED = range(4)
# Variables with a gradient in each micro-batch; some windows are closed by one without all.
WINDOWS = [
    [(TRUNK, HEAD_A), (TRUNK, HEAD_B), (TRUNK,)],
    [(HEAD_A,), (TRUNK, HEAD_B), (HEAD_B,)],
    [(TRUNK, HEAD_B, HEAD_A), (HEAD_A,), (TRUNK, HEAD_A)],
]
pytestmark = pytest.mark.filterwarnings("ignore:Gradients do not exist")


def variables():
    rng = np.random.default_rng(0)
    shapes = (3, 4), (4, 2), (4, 2), (4, 2)
    names = "trunk", "head_a", "head_b", "unused"
    pairs = zip(names, shapes, strict=True)
    return [keras.Variable(rng.normal(size=s).astype("float32"), name=name) for name, s in pairs]


def gradient(place, v):
    return np.random.default_rng(place).normal(size=v.shape).astype("float32")


def trained(optimizer, model, windows=WINDOWS, missing=None, apply=None):
    """Steps in which a variable without a gradient gets `missing` instead."""
    place = 0
    for window in windows:
        for having in window:
            place += 1
            grads = [
                gradient(place, v) if i in having else missing and missing(v)
                for i, v in enumerate(model)
            ]
            (apply or optimizer.apply)(grads, model)
    return [np.asarray(v) for v in (*model, *optimizer.variables)]


def zeros(v):
    return np.zeros(v.shape, "float32")


@rules_with(fused=[True, False])
def test_a_variable_gets_what_was_summed_for_it_in_the_whole_window(rule, fused):
    """As if a missing gradient were 0."""
    options = suited(rule, {"use_ema": True}) | {"gradient_accumulation_steps": 3}
    found, expected = [], []
    for into, missing in ((found, None), (expected, zeros)):
        model = variables()[:UNUSED]
        into += trained(
            make(rule, fused=fused, weight_decay=0.1, **options), model, missing=missing
        )
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-7)


@rules_with(fused=[True, False])
def test_a_variable_without_any_stays_with_all_that_is_kept_for_it(rule, fused):
    options = suited(rule, {"use_ema": True}) | {"gradient_accumulation_steps": 3}
    model, optimizer = variables(), make(rule, fused=fused, weight_decay=0.1, **options)
    trained(optimizer, model, [[range(4)] * 3])
    state = core(optimizer).state
    before = [model[UNUSED].numpy(), *(s.read() for s in state.slots[UNUSED].values())]
    before = [np.array(x) for x in before]
    trained(core(optimizer), model, WINDOWS[:2])
    after = [model[UNUSED].numpy(), *(s.read() for s in state.slots[UNUSED].values())]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("way", ["eager", "graph", "xla"])
def test_heads_in_turn_both_move(way):
    """Each variable gets half a mean per window; the last window has one micro-batch."""
    heads = [keras.Variable([0.0], name=name) for name in "ab"]
    optimizer = SGD(1.0, gradient_accumulation_steps=2)
    optimizer.build(heads)
    steps = [
        (lambda v: lambda: optimizer.apply([tf.ones(1)], [v]))(v) for v in heads
    ]  # each is traced separately
    if way != "eager":
        steps = [tf.function(step, jit_compile=way == "xla") for step in steps]
    for i in range(101):
        steps[i % 2]()
    assert [v.numpy().item() for v in heads] == [-25.0, -25.0]
    optimizer.flush()
    assert [v.numpy().item() for v in heads] == [-26.0, -25.0]
    assert optimizer.iterations.numpy() == 51


@pytest.mark.parametrize("make_one", [
    lambda **o: Lookahead(SGD(1.0, **o), sync_period=50, slow_step_size=1.0),
    lambda **o: LocalSteps(SGD(1.0, **o)),
    lambda **o: SGD(1.0, skip_nonfinite=True, **o),
    lambda **o: SGD(1.0, sparse="lazy", **o),
])  # fmt: skip
def test_heads_in_turn_whatever_is_around(make_one):
    heads = [keras.Variable([0.0]), keras.Variable(0.0)]
    optimizer = make_one(gradient_accumulation_steps=2)
    optimizer.build(heads)
    for i in range(8):
        v = heads[i % 2]
        optimizer.apply([np.ones(v.shape, "float32")], [v])
    assert [np.ravel(v).item() for v in heads] == [-2.0, -2.0]


@pytest.mark.parametrize("options", [{"shard_state": True}, {"fused": True}], ids=str)
def test_missing_gradients_on_replicas(options, mirrored):
    def run(strategy):
        with strategy.scope():
            model = variables()
            optimizer = AdamW(0.1, use_ema=True, gradient_accumulation_steps=3, **options)
            optimizer.build(model)

        @tf.function
        def step(grads):
            shares = [g if g is None else g / strategy.num_replicas_in_sync for g in grads]
            strategy.run(lambda: optimizer.apply(shares, model))

        trained(optimizer, model, apply=lambda grads, _: step(grads))
        return [v.numpy() for v in (*model, *optimizer.averages())]

    for a, b in zip(run(mirrored), run(tf.distribute.get_strategy()), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "make_one", [SM3, partial(AdamW, state_dtype="int8")], ids=["other shapes", "codes"]
)
def test_a_shard_without_a_gradient_keeps_slots_of_any_shape(make_one, mirrored):
    with mirrored.scope():
        model = [keras.Variable(np.ones((64, 64), "float32")) for _ in range(2)]
        optimizer = make_one(0.1, shard_state=True, gradient_accumulation_steps=2)
        optimizer.build(model)
    slots = [storage for slots in optimizer.state.slots for storage in slots.values()]
    before = [np.asarray(s.read()) for s in slots[len(slots) // 2 :]]

    @tf.function
    def step():
        mirrored.run(lambda: optimizer.apply([tf.ones((64, 64)), None], model))

    step()
    step()
    np.testing.assert_array_equal(model[1], 1.0)
    for old, s in zip(before, slots[len(slots) // 2 :], strict=True):
        np.testing.assert_array_equal(s.read(), old)
    assert (np.asarray(model[0]) < 1).all()


@pytest.mark.parametrize("jit", [False, True])
def test_rows_that_were_named_before_the_last_micro_batch(jit):
    """And all rows, if there was a dense gradient too."""
    table = keras.Variable(np.ones((5, 2), "float32"), name="embeddings")
    other = keras.Variable([1.0])
    optimizer = SGD(0.5, weight_decay=0.5, sparse="lazy", gradient_accumulation_steps=3)
    optimizer.build([table, other])
    rows = tf.IndexedSlices(tf.ones((2, 2)), tf.constant([3, 3]), tf.constant([5, 2]))
    kinds = {
        "rows": lambda: optimizer.apply([rows, tf.ones(1)], [table, other]),
        "dense": lambda: optimizer.apply([tf.zeros((5, 2)), tf.ones(1)], [table, other]),
        "none": lambda: optimizer.apply([tf.ones(1)], [other]),
    }
    steps = {name: tf.function(step, jit_compile=jit) for name, step in kinds.items()}
    expected = np.ones(5)
    for names, moving in (
        (("rows", "none", "none"), [3]),
        (("none", "none", "none"), []),
        (("none", "rows", "none"), [3]),
        (("dense", "rows", "none"), range(5)),
        (("dense", "none", "rows"), range(5)),
    ):
        for name in names:
            steps[name]()
        named = np.arange(5) == 3 if "rows" in names else np.zeros(5)
        for row in moving:
            expected[row] -= 0.5 * (named[row] * 2 / 3 + 0.5 * expected[row])
        np.testing.assert_allclose(table.numpy()[:, 0], expected, atol=1e-6)


def test_a_window_that_is_open_in_a_file_is_restored_by_path():
    stores = {}, {}
    ends = []
    for order in (1, -1):
        model = variables()
        whole = AdamW(0.1, weight_decay=0.1, gradient_accumulation_steps=3)
        whole.build(model)
        trained(whole, model, WINDOWS[:1])
        trained(whole, model, [[(HEAD_A,), (HEAD_A, HEAD_B)]])
        whole.save_own_variables(stores[0])
        again = AdamW(0.1, weight_decay=0.1, gradient_accumulation_steps=3)
        again.build(model[::order])
        again.load_own_variables(stores[0])
        trained(again, model, [[(TRUNK,)]])
        ends.append([v.numpy() for v in model])
    expected = variables()
    optimizer = AdamW(0.1, weight_decay=0.1, gradient_accumulation_steps=3)
    trained(optimizer, expected, WINDOWS[:1])
    trained(optimizer, expected, [[(HEAD_A,), (HEAD_A, HEAD_B)]])
    trained(optimizer, expected, [[(TRUNK,)]])
    for found in ends:
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_what_looks_at_the_whole_model_sees_a_missing_gradient_as_zero():
    ends = []
    for missing in (None, zeros):
        model = variables()
        trained(DoG(reps_rel=0.05), model, missing=missing)
        ends.append([v.numpy() for v in model])
    for a, b in zip(*ends, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
