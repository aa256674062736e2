"""Gradients of embeddings: the same as dense ones, or only their rows."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.contract.rules import core, every_rule, make

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


@every_rule
@pytest.mark.parametrize(
    "options",
    [{}, {"clipnorm": 0.5}, {"global_clipnorm": 0.5}, {"gradient_accumulation_steps": 2}],
    ids=str,
)
def test_sparse_equals_its_dense_twin(rule, options):
    sparse = trained(make(rule, **options), REPEATED)
    dense = trained(make(rule, **options), [tf.convert_to_tensor(g) for g in REPEATED])
    assert np.abs(dense - ROWS).max() > 1e-4
    np.testing.assert_allclose(sparse, dense, atol=2e-6, rtol=2e-5)


def lazy(rule, **options):
    if not core(make(rule)).elementwise:
        with pytest.raises(ValueError, match="lazy"):
            make(rule, sparse="lazy")
        pytest.skip("mixes rows, and says so")
    return make(rule, sparse="lazy", **options)


@every_rule
def test_lazy_on_all_rows_equals_dense(rule):
    found = trained(lazy(rule, weight_decay=0.1), ALL)
    dense = trained(make(rule, weight_decay=0.1), [tf.convert_to_tensor(g) for g in ALL])
    np.testing.assert_allclose(found, dense, atol=2e-6, rtol=2e-5)


@every_rule
def test_lazy_leaves_other_rows_alone(rule):
    if rule == "lookahead":
        pytest.skip("its slow weights pull every row")
    optimizer = lazy(rule, weight_decay=0.1)
    found = trained(optimizer, REPEATED)
    np.testing.assert_array_equal(found[[2, 4]], ROWS[[2, 4]])
    assert (found[[0, 1, 3, 5]] != ROWS[[0, 1, 3, 5]]).any(axis=1).all()


@every_rule
def test_lazy_on_two_replicas(rule, mirrored):
    """Each replica names other rows, one of them in common."""
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
