"""What Keras documents of its classes holds for ours of the same name.

Each behaviour runs on both. Where the numbers differ on purpose, docs/differences.md has a row.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gdx import optimizers, regularizers, schedules
from tests.test_differences import pairs

PAIRS = dict(pairs())
OPTIMIZERS = {a: b for a, b in PAIRS.items() if issubclass(a, optimizers.Optimizer)}
START = np.array([[1.0, -2.0], [0.5, 3.0], [-1.5, 0.25]], "float32")
GRADIENT = np.array([[0.5, 1.0], [-1.0, 0.25], [2.0, -0.5]], "float32")


def variables():
    return [
        keras.Variable(START, name="kernel", dtype="float32"),
        keras.Variable(START[0], name="bias", dtype="float32"),
    ]


def gradients():
    return [keras.ops.convert_to_tensor(GRADIENT), keras.ops.convert_to_tensor(GRADIENT[0])]


def moved(optimizer, steps=3, wanted=None, given=gradients):
    """The change of both variables, or an array that is read from the optimizer."""
    trained = variables()
    for _ in range(steps):
        optimizer.apply(given(), trained)
    values = [v.numpy() for v in trained] if wanted is None else wanted(optimizer, trained)
    return [np.asarray(v) for v in values]


# -- each takes a class and arguments that it needs, and returns arrays -------------------------


def the_rate_is_a_number(cls, **needed):
    optimizer = cls(0.25, **needed)
    first = float(optimizer.learning_rate)
    optimizer.learning_rate = 0.5
    return [first, float(optimizer.learning_rate)]


def the_rate_is_a_schedule(cls, **needed):
    optimizer = cls(keras.optimizers.schedules.PolynomialDecay(1.0, 4, 0.0), **needed)
    found = []
    for _ in range(3):
        found.append(float(optimizer.learning_rate))
        moved(optimizer, 1) if not found[1:] else optimizer.iterations.assign_add(1)
    return found


def the_rate_is_a_function(cls, **needed):
    return [float(cls(lambda: 0.125, **needed).learning_rate)]


def iterations_count_updates(cls, **needed):
    return moved(cls(0.1, **needed), 3, lambda o, _: [o.iterations.numpy()])


def pairs_can_be_applied(cls, **needed):
    optimizer, trained = cls(0.1, **needed), variables()
    optimizer.apply_gradients(zip(gradients(), trained, strict=True))
    same = moved(cls(0.1, **needed), 1)
    return [np.max(np.abs(v.numpy() - w)) for v, w in zip(trained, same, strict=True)]


def built_first_it_applies_gradients_alone(cls, **needed):
    optimizer, trained = cls(0.1, **needed), variables()
    optimizer.build(trained)
    optimizer.apply(gradients())
    same = moved(cls(0.1, **needed), 1)
    return [np.max(np.abs(v.numpy() - w)) for v, w in zip(trained, same, strict=True)]


def a_copy_of_its_config_moves_alike(cls, **needed):
    optimizer = cls(0.1, **needed)
    copy = cls.from_config(optimizer.get_config())
    return [a - b for a, b in zip(moved(optimizer), moved(copy), strict=True)]


def next_steps(cls, needed, copy):
    """The difference of the next steps of an optimizer and of another one with its state."""
    first, second = cls(0.1, **needed), cls(0.1, **needed)
    one, two = variables(), variables()
    first.apply(gradients(), one)
    second.build(two)
    for a, b in zip(one, two, strict=True):
        b.assign(a)
    copy(first, second)
    for optimizer, trained in ((first, one), (second, two)):
        optimizer.apply(gradients(), trained)
    return [a.numpy() - b.numpy() for a, b in zip(one, two, strict=True)]


def its_variables_are_its_state(cls, **needed):
    def copy(first, second):
        for a, b in zip(first.variables, second.variables, strict=True):
            b.assign(a)

    return next_steps(cls, needed, copy)


def its_store_is_its_state(cls, **needed):
    def copy(first, second):
        store = {}
        first.save_own_variables(store)
        second.load_own_variables(store)

    return next_steps(cls, needed, copy)


def excluded_variables_do_not_decay(cls, **needed):
    def after(weight_decay):
        optimizer, trained = cls(0.1, weight_decay=weight_decay, **needed), variables()
        optimizer.exclude_from_weight_decay(var_list=trained[:1])
        for _ in range(2):
            optimizer.apply(gradients(), trained)
        return [v.numpy() for v in trained]

    (kernel, bias), (same, other) = after(0.5), after(0.0)
    return [kernel - same, np.sign(np.abs(bias - other).sum())]


def averages_are_written_at_the_end(cls, **needed):
    optimizer, trained = cls(0.1, use_ema=True, ema_momentum=0.5, **needed), variables()
    path = []
    for _ in range(3):
        optimizer.apply(gradients(), trained)
        path.append(trained[0].numpy())
    average = path[0]
    for weights in path[1:]:
        average = 0.5 * average + 0.5 * weights
    optimizer.finalize_variable_values(trained)
    return [np.round(trained[0].numpy() - average, 5)]


def gradients_are_accumulated(cls, **needed):
    many = moved(cls(0.1, gradient_accumulation_steps=2, **needed), 4)
    return [np.round(a - b, 5) for a, b in zip(many, moved(cls(0.1, **needed), 2), strict=True)]


def gradients_are_clipped(cls, **needed):
    """By each of the three options, as if the gradients were given clipped."""
    norm = np.sqrt((GRADIENT**2).sum()), np.sqrt((GRADIENT[0] ** 2).sum())
    each = [x / n * 0.5 for x, n in zip((GRADIENT, GRADIENT[0]), norm, strict=True)]
    together = [x / np.hypot(*norm) * 0.5 for x in (GRADIENT, GRADIENT[0])]
    values = [np.clip(x, -0.5, 0.5) for x in (GRADIENT, GRADIENT[0])]
    options = (("clipnorm", each), ("global_clipnorm", together), ("clipvalue", values))
    found = []
    for name, clipped in options:
        given = lambda clipped=clipped: [keras.ops.convert_to_tensor(x) for x in clipped]  # noqa: E731
        one = moved(cls(0.1, **{name: 0.5}, **needed))
        two = moved(cls(0.1, **needed), given=given)
        found += [np.round(a - b, 5) for a, b in zip(one, two, strict=True)]
    return found


def sparse_gradients_are_dense_ones(cls, **needed):
    slices = tf.IndexedSlices(tf.constant(GRADIENT[:2]), tf.constant([2, 0]), (3, 2))
    dense = np.stack([GRADIENT[1], np.zeros(2, "float32"), GRADIENT[0]])
    found = []
    for gradient in (slices, tf.constant(dense)):
        optimizer, trained = cls(0.1, **needed), variables()[:1]
        optimizer.apply([gradient], trained)
        found.append(trained[0].numpy())
    return [np.round(found[0] - found[1], 6)]


def losses_are_scaled(cls, **needed):
    optimizer = cls(0.1, loss_scale_factor=8.0, **needed)
    scaled = float(optimizer.scale_loss(keras.ops.convert_to_tensor(2.0)))
    given = lambda: [8.0 * x for x in gradients()]  # noqa: E731
    one, two = moved(optimizer, given=given), moved(cls(0.1, **needed))
    return [scaled, *(np.round(a - b, 5) for a, b in zip(one, two, strict=True))]


def it_trains_several_outputs(cls, **needed):
    keras.utils.set_random_seed(0)
    x = keras.Input((2,))
    model = keras.Model(x, {"a": keras.layers.Dense(1)(x), "b": keras.layers.Dense(2)(x)})
    model.compile(cls(0.01, **needed), {"a": "mse", "b": "mae"}, run_eagerly=True)
    y = {"a": GRADIENT[:, :1], "b": GRADIENT}
    history = model.fit(START, y, epochs=2, batch_size=2, verbose=0).history
    return [sorted(history), model.optimizer.iterations.numpy()]


OPTIMIZER_BEHAVIOURS = [
    the_rate_is_a_number,
    the_rate_is_a_schedule,
    the_rate_is_a_function,
    iterations_count_updates,
    pairs_can_be_applied,
    built_first_it_applies_gradients_alone,
    a_copy_of_its_config_moves_alike,
    its_variables_are_its_state,
    its_store_is_its_state,
    excluded_variables_do_not_decay,
    averages_are_written_at_the_end,
    gradients_are_accumulated,
    gradients_are_clipped,
    sparse_gradients_are_dense_ones,
    losses_are_scaled,
    it_trains_several_outputs,
]


REFUSED = {  # each has a row in docs/differences.md
    (optimizers.ScheduleFreeAdamW, averages_are_written_at_the_end): "weights are averaged already",
}


@pytest.mark.parametrize("behaviour", OPTIMIZER_BEHAVIOURS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("ours", OPTIMIZERS, ids=lambda cls: cls.__name__)
def test_an_optimizer_behaves_like_that_of_keras(ours, behaviour):
    if reason := REFUSED.get((ours, behaviour)):
        with pytest.raises(ValueError, match=reason):
            behaviour(ours)
        return
    found, expected = behaviour(ours), behaviour(OPTIMIZERS[ours])
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        if isinstance(a, list):
            assert a == b
        else:
            np.testing.assert_allclose(a, b, atol=1e-5)


SCHEDULES = {  # arguments of ours, and those of Keras'
    schedules.Cosine: ((0.5, 8), (0.5, 8)),
    schedules.CosineRestarts: ((0.5, 8), (0.5, 8)),
    schedules.Exponential: ((0.5, 8, 0.5), (0.5, 8, 0.5)),
    schedules.MultiStep: ((0.5, [3, 6], 0.5), ([3, 6], [0.5, 0.25, 0.125])),
    schedules.Polynomial: ((0.5, 8), (0.5, 8, 0.0)),
}


@pytest.mark.parametrize("ours", SCHEDULES, ids=lambda cls: cls.__name__)
def test_a_schedule_behaves_like_that_of_keras(ours):
    mine, their = SCHEDULES[ours]
    found = []
    for schedule in (ours(*mine), PAIRS[ours](*their)):
        saved = keras.optimizers.schedules.serialize(schedule)
        copy = keras.optimizers.schedules.deserialize(saved)
        assert copy.get_config() == schedule.get_config()
        optimizer = keras.optimizers.SGD(schedule)  # Keras' own rules take it too
        optimizer.build(variables())
        rates = [float(copy(step)) for step in (0, 2, 5, 7, 20)]
        found.append([*rates, float(optimizer.learning_rate)])
    np.testing.assert_allclose(*found, atol=1e-7)  # rounding of a peak of 0.5


def test_every_schedule_of_keras_is_here():
    assert {a for a in PAIRS if issubclass(a, schedules.Schedule)} == set(SCHEDULES)


REGULARIZERS = {
    regularizers.L1: (0.5,),
    regularizers.L2: (0.5,),
    regularizers.L1L2: (0.5, 0.25),
    regularizers.SoftOrthogonal: (0.5,),
}


@pytest.mark.parametrize("ours", REGULARIZERS, ids=lambda cls: cls.__name__)
def test_a_regularizer_behaves_like_that_of_keras(ours):
    for cls in (ours, PAIRS[ours]):
        regularizer = cls(*REGULARIZERS[ours])
        copy = keras.regularizers.get(keras.regularizers.serialize(regularizer))
        assert type(copy) is cls
        layer = keras.layers.Dense(2, kernel_regularizer=copy)
        layer.build((None, 3))
        layer.kernel.assign(START)
        assert [float(x) for x in layer.losses] == [pytest.approx(float(regularizer(START)))]


def test_every_regularizer_of_keras_is_here():
    assert {a for a in PAIRS if issubclass(a, keras.regularizers.Regularizer)} == set(REGULARIZERS)
