"""Defects of Keras: gradients of embeddings, which have some rows only."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_gdx
from tests.defects.harness import Steps, keras_shows, same

TABLE = (50, 2)


def rows(*pairs):
    """The gradient with these rows: `(index, values)`; an index may occur twice."""
    index, values = zip(*pairs, strict=True)
    return tf.IndexedSlices(tf.constant(values, "float32"), tf.constant(index), tf.constant(TABLE))


OLD = rows((1, (1.0, -2.0)), (2, (3.0, 4.0)))
NEW = rows((3, (5.0, 6.0)))


def sparse_steps(make):
    return Steps(make, start=np.zeros(TABLE))


def moved_rows(make):
    """The rows that change in the step with the gradient `NEW`, after one with `OLD`."""
    moved = sparse_steps(make).take(OLD).moved(NEW)
    return set(np.flatnonzero(moved.any(axis=1)).tolist())


def theirs():
    return keras.optimizers.Adam(0.1)


def ours():
    return keras_gdx.optimizers.Adam(0.1, sparse="lazy")


def test_keras_d21_rows_of_old_batches_go_on_moving():
    keras_shows({1, 2, 3}, {3}, moved_rows, theirs)


def test_ours_d21_only_the_rows_of_the_batch_move():
    assert moved_rows(ours) == {3}
    first, second = (0.1 / 0.1 / 1.0, 0.1 / 0.19 / (0.001 / 0.001999) ** 0.5)
    steps = sparse_steps(ours)
    expected = np.zeros(TABLE)
    expected[[1, 2]] = -0.1 * first * np.sign(OLD.values)
    assert same(steps.take(OLD).value, expected)
    expected[3] = -0.1 * second  # bias corrections count all updates
    assert same(steps.take(NEW).value, expected)


def test_ours_d21_only_the_rows_of_a_window_move():
    """Or the optimizer raises an error that says that it is not supported."""

    def make():
        return keras_gdx.optimizers.Adam(0.1, sparse="lazy", gradient_accumulation_steps=2)

    try:
        steps = sparse_steps(make).take(OLD, OLD)
    except ValueError as refusal:
        for name in ("sparse", "lazy", "gradient_accumulation_steps"):
            assert name in str(refusal)  # noqa: PT017
    else:
        assert set(np.flatnonzero(steps.moved(NEW, NEW).any(axis=1)).tolist()) == {3}


def whole_tables(make):
    """Whether the compiled step creates or writes a tensor of the size of the complete table."""
    steps = sparse_steps(make)
    graph = steps.step.get_concrete_function(OLD).graph
    tensors = [
        t for g in graphs(graph) for op in g.get_operations() for t in (*op.inputs, *op.outputs)
    ]
    assert any(t.shape.rank == 2 and t.shape[1] == TABLE[1] for t in tensors)
    return any(t.shape == TABLE for t in tensors)


def graphs(graph):
    yield graph
    for function in graph._functions.values():
        yield from graphs(function.graph)


def test_keras_d21_the_whole_table_is_computed():
    keras_shows(True, False, whole_tables, theirs)


def test_ours_d21_only_the_rows_are_computed():
    assert not whole_tables(ours)


def clipped_twice(optimizer, option):
    """The step for a row that is in a batch twice, (2, 0) in total, clipped to 1."""
    moved = sparse_steps(lambda: optimizer(1.0, **{option: 1.0})).moved(
        rows((4, (1.0, 0.0)), (4, (1.0, 0.0)))
    )
    return -moved[4]


CLIPS = pytest.mark.parametrize("option", ["clipnorm", "global_clipnorm"])


@CLIPS
def test_keras_d35_norms_of_repeated_rows_are_wrong(option):
    wrong = [2**0.5, 0.0]
    keras_shows(wrong, [1.0, 0.0], clipped_twice, keras.optimizers.SGD, option)


@CLIPS
def test_ours_d35_norms_of_repeated_rows_are_right(option):
    assert same(clipped_twice(keras_gdx.optimizers.SGD, option), [1.0, 0.0])


@CLIPS
def test_ours_d35_norms_of_rows_that_two_replicas_name_are_right(option, mirrored):
    def make():
        return keras_gdx.optimizers.SGD(1.0, **{option: 1.0})

    steps = Steps(make, start=np.zeros(TABLE), strategy=mirrored)
    steps.take([rows((4, (3.0, 0.0))), rows((4, (0.0, 4.0)))])
    assert same(-steps.value[4], [0.6, 0.8])
