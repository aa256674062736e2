"""Gradients of embeddings: equal to dense ones, or applied to their rows only."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_gdx
from tests.contract.rules import FIRST, RULES, core, make, rules_with, suited

ROWS = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")


def slices(rows, values):
    return tf.IndexedSlices(tf.constant(values, "float32"), tf.constant(rows), tf.constant([6, 4]))


def trained(optimizer, gradients):
    w = keras.Variable(ROWS, name="embeddings")
    optimizer.build([w])
    step = tf.function(lambda g: optimizer.apply([g], [w]), reduce_retracing=True)
    for gradient in gradients:
        step(gradient)
    return w.numpy()


VALUES = np.random.default_rng(1).normal(size=(3, 4))
REPEATED = [slices([1, 3, 1], VALUES), slices([0, 0, 5], VALUES[::-1] * 0.1)] * 2
ALL = [slices(list(range(6)), np.random.default_rng(i).normal(size=(6, 4))) for i in range(4)]


@rules_with(
    options=[{}, {"clipnorm": 0.5}, {"global_clipnorm": 0.5}, {"gradient_accumulation_steps": 2}]
)
def test_sparse_equals_its_dense_twin(rule, options):
    sparse = trained(make(rule, **options), REPEATED)
    dense = trained(make(rule, **options), [tf.convert_to_tensor(g) for g in REPEATED])
    assert np.abs(dense - ROWS).max() > 1e-4
    np.testing.assert_allclose(sparse, dense, atol=2e-6, rtol=2e-5)


@pytest.mark.parametrize("rule", [rule for rule in RULES if not core(make(rule)).elementwise])
def test_rules_that_mix_rows_cannot_be_lazy(rule):
    with pytest.raises(ValueError, match="lazy"):
        make(rule, sparse="lazy")


LAZY = [rule for rule in FIRST if core(make(rule)).elementwise]
lazy_rules = pytest.mark.parametrize("rule", LAZY)


def lazy(rule, **options):
    return make(rule, sparse="lazy", **options)


@lazy_rules
def test_lazy_on_all_rows_equals_dense(rule):
    found = trained(lazy(rule, weight_decay=0.1), ALL)
    dense = trained(make(rule, weight_decay=0.1), [tf.convert_to_tensor(g) for g in ALL])
    np.testing.assert_allclose(found, dense, atol=2e-6, rtol=2e-5)


@lazy_rules
def test_lazy_leaves_other_rows_alone(rule):
    if rule == "lookahead":
        pytest.skip("its slow weights pull every row")
    optimizer = lazy(rule, weight_decay=0.1)
    found = trained(optimizer, REPEATED)
    np.testing.assert_array_equal(found[[2, 4]], ROWS[[2, 4]])
    assert (found[[0, 1, 3, 5]] != ROWS[[0, 1, 3, 5]]).any(axis=1).all()


def test_a_number_for_each_row_is_lazy_too():
    def by_row(**options):
        return make("adagrad", rowwise=True, weight_decay=0.1, **options)

    found = trained(by_row(sparse="lazy"), ALL)
    dense = trained(by_row(), [tf.convert_to_tensor(g) for g in ALL])
    np.testing.assert_allclose(found, dense, atol=2e-6, rtol=2e-5)
    eager, xla = (moved(by_row(sparse="lazy"), mode) for mode in ("eager", "xla"))
    for a, b in zip(eager, xla, strict=True):
        np.testing.assert_allclose(b, a, atol=2e-6, rtol=2e-5)
    assert [x.shape for x in eager].count((8,)) == 3  # the vector, and accumulators of both


COMPILED = {
    "clipnorm": {"clipnorm": 0.3, "use_ema": True},
    "clipvalue": {"clipvalue": 0.1, "use_ema": True, "gradient_accumulation_steps": 2},
    "global_clipnorm": {"global_clipnorm": 0.3, "weight_decay": 0.1},
    "everything": {
        "weight_decay": 0.1,
        "global_clipnorm": 0.5,
        "gradient_accumulation_steps": 2,
        "skip_nonfinite": True,
    },
}
NAMED = [[5, 3, 5], [0, 3, 0, 7], [3, 3, 7], [5, 0, 5, 3]]  # never rows 1, 2, 4 and 6


def moved(optimizer, mode, names=NAMED, indices=tf.identity):
    """Two tables that share indices, in any number, and weights with a dense gradient."""
    rng = np.random.default_rng(0)
    shapes = ((8, 3), (8,), (4,))
    model = [keras.Variable(rng.normal(size=shape).astype("float32")) for shape in shapes]
    optimizer.build(model)

    def step(indices_given, x, y):
        rows = indices(indices_given)
        values = x[: tf.shape(rows)[0]], y[: tf.shape(rows)[0]]
        table, other = (
            tf.IndexedSlices(v, rows, w.shape) for v, w in zip(values, model[:2], strict=True)
        )
        optimizer.apply([table, other, tf.ones(4)], model)

    if mode != "eager":
        signature = [tf.TensorSpec(shape) for shape in ((None, 3), (None,))]
        signature.insert(0, tf.TensorSpec([None], tf.int32))
        step = tf.function(step, input_signature=signature, jit_compile=mode == "xla")
    start = [v.numpy() for v in model]
    for i in names:
        x, y = rng.normal(size=(len(i), 3)), rng.normal(size=len(i))
        step(tf.constant(i), tf.constant(x, "float32"), tf.constant(y, "float32"))
    for v, old in zip(model[:2], start, strict=False):
        np.testing.assert_array_equal(v.numpy()[[1, 2, 4, 6]], old[[1, 2, 4, 6]])
        assert (v.numpy()[[0, 3, 5, 7]] != old[[0, 3, 5, 7]]).any(axis=-1).all()
    return [np.asarray(v) for v in (*model, *optimizer.variables)]


@rules_with(LAZY, option=COMPILED)
def test_lazy_xla_equals_eager(rule, option):
    """XLA has fixed sizes only: padding must not count as row 0."""
    options = suited(rule, COMPILED[option])
    eager, xla = (moved(lazy(rule, **options), mode) for mode in ("eager", "xla"))
    for a, b in zip(eager, xla, strict=True):
        np.testing.assert_allclose(b, a, atol=2e-6, rtol=2e-5)


@pytest.mark.parametrize("state_dtype", [None, "bfloat16", "float16"])
def test_lazy_rows_whose_number_only_a_compiled_step_knows(state_dtype):
    def optimizer():
        return make("adamw", sparse="lazy", state_dtype=state_dtype, clipnorm=0.3)

    def unique(indices):
        return tf.unique(indices)[0]

    eager, xla = (moved(optimizer(), mode, indices=unique) for mode in ("eager", "xla"))
    for a, b in zip(eager, xla, strict=True):
        a, b = a.astype("float32"), b.astype("float32")
        np.testing.assert_allclose(b, a, atol=2e-3 if state_dtype else 2e-6, rtol=2e-2)


@lazy_rules
def test_lazy_on_two_replicas(rule, mirrored):
    """Each replica has gradients for different rows, one of them in common."""
    results = []
    for strategy in (mirrored, tf.distribute.get_strategy()):
        with strategy.scope():
            w = keras.Variable(ROWS, name="embeddings")
            optimizer = lazy(rule, weight_decay=0.1)
            optimizer.build([w])
        parts = [([1, 3], VALUES[:2]), ([3, 5], VALUES[1:])]
        if strategy.num_replicas_in_sync == 1:
            parts = [([1, 3, 3, 5], np.concatenate([VALUES[:2], VALUES[1:]]))]

        @tf.function
        def step():
            def replica():
                index = tf.distribute.get_replica_context().replica_id_in_sync_group
                rows, values = parts[
                    index if isinstance(index, int) else int(tf.get_static_value(index))
                ]
                optimizer.apply([slices(rows, values)], [w])

            strategy.run(replica)

        for _ in range(3):
            step()
        results.append(w.numpy())
    np.testing.assert_allclose(*results, atol=2e-6)
    assert (results[0][[1, 3, 5]] != ROWS[[1, 3, 5]]).all()


@rules_with(LAZY, mode=["graph", "xla"])
def test_lazy_state_in_eight_bits_learns_the_same_and_leaves_other_rows_alone(rule, mode):
    """Rows have scales of their own, so none is read or written with another."""
    rng = np.random.default_rng(0)
    start = rng.normal(size=(600, 8)).astype("float32")
    batches = [rng.integers(0, 300, 64) for _ in range(6)]
    values = [rng.normal(size=(64, 8)).astype("float32") for _ in batches]

    def run(**options):
        w = keras.Variable(start, name="embeddings")
        optimizer = make(rule, sparse="lazy", **options)
        optimizer.build([w])
        step = tf.function(
            lambda rows, x: optimizer.apply([tf.IndexedSlices(x, rows, (600, 8))], [w]),
            jit_compile=mode == "xla",
        )
        for rows, x in zip(batches, values, strict=True):
            step(tf.constant(rows), tf.constant(x))
        return w.numpy(), core(optimizer).state

    small, state = run(state_dtype="int8")
    full, _ = run()
    moved = np.abs(full - start).mean()
    assert np.abs(small - full).mean() < 0.05 * moved
    rest = np.setdiff1d(np.arange(600), np.concatenate(batches))
    if rule != "lookahead":  # its slow weights pull every row
        np.testing.assert_array_equal(small[rest], start[rest])
    coded = [s for s in state.slots[0].values() if len(s.variables) == 2]
    assert all(s.variables[1].shape == (600, 1) for s in coded)
    assert all((np.asarray(s.variables[0])[rest] == 0).all() for s in coded)
    assert coded or not state.slots[0] or rule.startswith("schedulefree")


@pytest.mark.parametrize(("width", "coded"), [(3, False), (4, True)])
def test_rows_too_short_for_a_scale_of_their_own_stay_in_full(width, coded):
    w = keras.Variable(np.ones((2000, width), "float32"), name="embeddings")
    optimizer = make("adam", sparse="lazy", state_dtype="int8")
    optimizer.build([w])
    assert all((len(s.variables) == 2) == coded for s in optimizer.state.slots[0].values())


CATCHING_UP = ["adam", "lion", "sgd", "radam"]


@rules_with(CATCHING_UP, mode=["graph", "xla"])
def test_averages_that_decay_while_rows_are_skipped_are_the_dense_ones(rule, mode):
    """Also if all rows have a gradient in between."""
    options = {"momentum": 0.9} if rule == "sgd" else {}
    rng = np.random.default_rng(0)
    named = [[0, 1], [1, 2], [0, 3], [0, 1, 2, 3, 4, 5], [4], [0, 5]]
    values = [rng.normal(size=(len(rows), 4)).astype("float32") for rows in named]

    def run(**more):
        w = keras.Variable(ROWS, name="embeddings")
        optimizer = make(rule, **options, **more)
        optimizer.build([w])
        step = tf.function(
            lambda rows, x: optimizer.apply([tf.IndexedSlices(x, rows, (6, 4))], [w]),
            input_signature=[tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, 4])],
            jit_compile=mode == "xla",
        )
        for i, (rows, x) in enumerate(zip(named, values, strict=True)):
            if i == 3:
                optimizer.apply([tf.constant(x)], [w])
            else:
                step(tf.constant(rows), tf.constant(x))
        return {n: np.asarray(s.read()) for n, s in optimizer.state.slots[0].items()}

    lazy, resting, dense = run(sparse="lazy", skipped="decay"), run(sparse="lazy"), run()
    np.testing.assert_array_equal(lazy["updated"], [6, 4, 4, 4, 5, 6])
    for name, value in dense.items():
        np.testing.assert_allclose(lazy[name][[0, 5]], value[[0, 5]], rtol=1e-5, err_msg=name)
        assert np.abs(resting[name][[0, 5]] / value[[0, 5]] - 1).max() > 1e-3


def test_skipped_updates_are_caught_up_in_a_partition_and_kept_in_files(tmp_path):
    def model():
        keras.utils.set_random_seed(0)
        inputs = keras.Input((2,), dtype="int32")
        x = keras.layers.Embedding(30, 4, name="table")(inputs)
        found = keras.Model(inputs, keras.layers.Dense(1, name="head")(keras.layers.Flatten()(x)))
        rules = {"table": keras_gdx.optimizers.Adam(0.1)}
        options = {"sparse": "lazy", "skipped": "decay", "state_dtype": "bfloat16"}
        found.compile(keras_gdx.optimizers.Partition(rules, default="muon", **options), "mse")
        return found

    x = np.random.default_rng(0).integers(0, 30, (40, 2))
    whole, first = model(), model()
    whole.fit(x, x[:, :1], batch_size=4, epochs=2, shuffle=False, verbose=0)
    first.fit(x, x[:, :1], batch_size=4, shuffle=False, verbose=0)
    first.save(tmp_path / "model.keras")
    second = keras.saving.load_model(tmp_path / "model.keras")
    second.fit(x, x[:, :1], batch_size=4, shuffle=False, verbose=0)
    for a, b in zip(whole.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("rule", ["adagrad", "ftrl", "adan", "schedulefreesgd", "schedulefree"])
def test_rules_without_declared_decay_do_not_catch_up(rule):
    with pytest.raises(ValueError, match="Argument `skipped`"):
        make(rule, sparse="lazy", skipped="decay")
    with pytest.raises(ValueError, match="Argument `skipped`"):
        make("adam", skipped="decay")


def test_an_average_of_rows_that_catch_up_is_refused_when_it_is_built_too():
    optimizer = keras_gdx.optimizers.ScheduleFree(keras_gdx.optimizers.SGD(0.1, momentum=0.5))
    optimizer.sparse, optimizer.skipped = "lazy", "decay"
    with pytest.raises(ValueError, match="Argument `skipped`"):
        optimizer.build([keras.Variable(ROWS, name="embeddings")])
