"""Variables that appear late, are frozen, are TensorFlow's own, or are overwritten by layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_gdx
from keras_gdx import optimizers
from keras_gdx.backends import backend
from tests.contract.harness import Run, assert_same, batches
from tests.contract.rules import core, first_rules, make, rules_with, suited

X, Y = next(batches(1, 32))

# -- models that get their variables in the first step ---------------------------------------------


class Subclassed(keras.Model):
    def __init__(self, layers):
        super().__init__()
        self.parts = layers

    def call(self, x):
        for part in self.parts:
            x = part(x)
        return x


def built(layers):
    return keras.Sequential([keras.Input((4,)), *layers])


MODELS = {"built by fit": keras.Sequential, "subclassed": Subclassed}
COPYING = {
    "averages": lambda: optimizers.AdamW(0.05, use_ema=True, ema_momentum=0.7),
    "overwriting averages": lambda: optimizers.SGD(
        0.05, use_ema=True, ema_overwrite_frequency=2, gradient_accumulation_steps=3
    ),
    "skipping": lambda: optimizers.ScheduleFreeSGD(0.05, skip_nonfinite=True, fused=False),
    "Lookahead of Keras": lambda: optimizers.Lookahead(keras.optimizers.SGD(0.05), sync_period=2),
    "Lookahead of averages": lambda: optimizers.Lookahead(
        optimizers.SGD(0.05, use_ema=True), sync_period=2
    ),
    "outer": lambda: optimizers.LocalSteps(
        optimizers.SGD(0.05), outer=optimizers.SGD(0.7, momentum=0.9), sync_period=2
    ),
    "loss scaling": lambda: optimizers.LossScaleOptimizer(
        optimizers.DoG(reps_rel=0.05, use_ema=True), initial_scale=8.0
    ),
}


def fitted(kind, optimizer, **options):
    keras.utils.set_random_seed(0)
    net = kind([keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)])
    net.compile(optimizer, "mse", **options)
    net.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    found = [*net.trainable_variables, *net.optimizer.variables]
    return [np.asarray(v) for v in found]


def assert_all_close(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6, rtol=2e-5)


@first_rules
def test_a_model_that_fit_builds_trains_as_one_that_is_built(rule):
    expected = fitted(built, make(rule))
    for kind in MODELS.values():
        assert_all_close(fitted(kind, make(rule)), expected)


@pytest.mark.parametrize("case", COPYING)
def test_what_copies_the_weights_waits_for_them(case):
    expected = fitted(built, COPYING[case]())
    assert_all_close(fitted(keras.Sequential, COPYING[case]()), expected)


@pytest.mark.parametrize("way", [{"jit_compile": True}, {"steps_per_execution": 3}], ids=str)
def test_it_waits_however_steps_are_run(way):
    expected = fitted(built, COPYING["overwriting averages"](), **way)
    assert_all_close(fitted(keras.Sequential, COPYING["overwriting averages"](), **way), expected)


def test_it_waits_in_every_part_of_several_optimizers():
    def several():
        parts = {"second/.*": COPYING["averages"]()}
        chosen = keras.optimizers.OptimizerMap(optimizers.ScheduleFreeSGD(0.05), parts)
        return keras.optimizers.MultiOptimizer(chosen)

    if not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip("this Keras has none")
    assert_all_close(fitted(keras.Sequential, several()), fitted(built, several()))


@pytest.mark.parametrize("options", [{"use_ema": True}, {"shard_state": True}], ids=str)
def test_it_waits_on_every_replica(options, mirrored):
    """TensorFlow cannot yet create variables in the first step of several replicas: simulate it."""
    data = list(batches(2))
    rule = optimizers.AdamW if "use_ema" in options else optimizers.ScheduleFreeAdamW
    expected, waiting = (Run(lambda: rule(0.05, **options), mirrored) for _ in range(2))
    waiting.optimizer.state.late = True
    for variable in waiting.optimizer.state.variables:
        variable.assign(tf.zeros(variable.shape, variable.dtype))
    copies = [
        [c.numpy() for v in run.optimizer.variables for c in backend.copies(v)]
        for run in (expected.train(data), waiting.train(data))
    ]
    assert_same(waiting, expected)
    assert_all_close(*copies)


def test_updates_before_there_are_weights_are_refused():
    net = keras.Sequential([keras.layers.Dense(1)])
    net.compile(COPYING["averages"](), "mse")
    net.optimizer.iterations.assign(5)
    with pytest.raises(ValueError, match=r"`iterations`.*model.build"):
        net.fit(X, Y, verbose=0)


@pytest.mark.parametrize("rule", ["schedulefreeadamw", "dog", "lookahead"])
def test_training_begins_with_the_weights_that_it_is_given_last(rule):
    """Weights are often loaded after the optimizer is built."""
    nets = [built([keras.layers.Dense(1)]) for _ in range(2)]
    for net in nets:
        net.compile(make(rule), "mse")
    nets[0].optimizer.build(nets[0].trainable_variables)
    for net in nets:
        net.set_weights([np.full(v.shape, 0.5, "float32") for v in net.weights])
    assert nets[0].evaluate(X, Y, verbose=0) == nets[1].evaluate(X, Y, verbose=0)
    for net in nets:
        net.fit(X, Y, batch_size=4, verbose=0, shuffle=False)
    for a, b in zip(*(net.optimizer.variables for net in nets), strict=True):
        np.testing.assert_array_equal(a, b)


# -- variables of TensorFlow's own -----------------------------------------------------------------

VALUES = [np.array([3.0], "float32"), np.ones((2, 3), "float32"), np.float32(2.0)]


def moved(variables, optimizer):
    """Some steps in a function that creates the optimizer's state."""

    @tf.function
    def step(scale):
        gradients = [scale * tf.cast(v, "float32") for v in variables]
        optimizer.apply_gradients(zip(gradients, variables, strict=True))

    for scale in (1.0, -0.5, 0.3):
        step(tf.constant(scale))
    return [np.asarray(v) for v in (*variables, *optimizer.variables)]


@rules_with(many=[False, True])
def test_bare_variables_move_as_those_of_keras(rule, many):
    values = VALUES if many else VALUES[1:2]  # a single one is in no group
    expected = moved([keras.Variable(x) for x in values], make(rule))
    assert_all_close(moved([tf.Variable(x) for x in values], make(rule)), expected)
    mixed = [keras.Variable(values[0]), *map(tf.Variable, values[1:])]
    assert_all_close(moved(mixed, make(rule)), expected)


def every_option():
    return optimizers.AdamW(
        0.1,
        use_ema=True,
        ema_overwrite_frequency=2,
        gradient_accumulation_steps=2,
        skip_nonfinite=True,
        global_clipnorm=1.0,
    )


def test_bare_variables_with_all_options():
    expected = moved([keras.Variable(x) for x in VALUES], every_option())
    assert_all_close(moved([tf.Variable(x) for x in VALUES], every_option()), expected)


@pytest.mark.parametrize("shard_state", [False, True])
def test_mirrored_bare_variables_move_as_those_of_keras(shard_state, mirrored):
    def moved_by_replicas(kind):
        with mirrored.scope():
            variables = [kind(x) for x in VALUES]
            optimizer = optimizers.AdamW(0.1, use_ema=True, shard_state=shard_state)
            optimizer.build(variables)

        @tf.function
        def step():
            mirrored.run(lambda: optimizer.apply([tf.ones(v.shape) for v in variables], variables))

        for _ in range(3):
            step()
        copies = [c for v in (*variables, *optimizer.variables) for c in backend.copies(v)]
        return [c.numpy() for c in copies]

    assert_all_close(moved_by_replicas(tf.Variable), moved_by_replicas(keras.Variable))


def test_the_state_of_a_bare_variable_is_found_by_its_name():
    stores = []
    for order in (1, -1):
        names = ["a/kernel", "b"][::order]
        variables = [tf.Variable(np.full(2, len(n), "float32"), name=n) for n in names]
        optimizer = optimizers.SGD(0.1, momentum=0.9)
        optimizer.build(variables)
        if stores:
            optimizer.load_own_variables(stores[0])
            for n, slots in zip(names, optimizer.state.slots, strict=True):
                np.testing.assert_allclose(slots["momentum"].read(), len(n))
        optimizer.apply([tf.convert_to_tensor(v) for v in variables], variables)
        stores.append({})
        optimizer.save_own_variables(stores[-1])


# -- nothing to train ------------------------------------------------------------------------------


@first_rules
def test_a_frozen_model_is_fitted_saved_and_loaded(rule, tmp_path):
    net = built([keras.layers.Dense(1)])
    net.trainable = False
    net.compile(make(rule, gradient_accumulation_steps=2), "mse")
    with pytest.warns(UserWarning, match="trainable weights"):
        net.fit(X, Y, verbose=0)
    net.optimizer.build([])
    net.optimizer.apply([])
    net.optimizer.flush()
    net.fit(X, Y, verbose=0, callbacks=[keras_gdx.callbacks.FaultGuard()])
    net.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), net.predict(X, verbose=0))
    loaded.layers[0].trainable = True  # to be trained after all
    loaded.compile(loaded.optimizer, "mse")
    loaded.fit(X, Y, verbose=0)
    assert loaded.optimizer.iterations.numpy() == 1


def test_a_table_whose_shape_is_a_tuple():
    w = keras.Variable(np.ones((3, 2), "float32"))
    gradient = tf.IndexedSlices(tf.ones((1, 2)), tf.constant([1]), (3, 2))
    optimizers.SGD(0.5).apply([gradient], [w])
    np.testing.assert_allclose(w, [[1, 1], [0.5, 0.5], [1, 1]])


def test_unknown_variables_are_refused_with_what_to_do():
    optimizer = optimizers.SGD(0.1)
    optimizer.build([keras.Variable([1.0], name="known")])
    with pytest.raises(ValueError, match=r"other.*Compile the model again.*Unfreezing"):
        optimizer.apply([np.ones(1, "float32")], [keras.Variable([1.0], name="other")])


# -- variables that take their gradients as values -------------------------------------------------

OPTIONS = {
    "everything": {
        "use_ema": True,
        "ema_overwrite_frequency": 2,
        "weight_decay": 0.1,
        "global_clipnorm": 0.1,
        "loss_scale_factor": 8.0,
        "skip_nonfinite": True,
    },
    "plain": {},
}
GIVEN = [[5.0, -6.0], [0.25, 3.0], [2.0, -1.0], [7.0, 0.5]]


def given_values(optimizer, steps=4, others=1):
    """The values of an overwritten variable after each step, next to trained variables."""
    scale = keras.Variable([1.0, 2.0], name="scale")
    scale.overwrite_with_gradient = True
    variables = [keras.Variable(np.ones(3, "float32"), name=f"w{i}") for i in range(others)]
    variables.insert(0, scale)
    found = []
    for value in GIVEN[:steps]:
        gradients = [np.full(3, 0.5, "float32")] * others
        optimizer.apply([np.array(value, "float32"), *gradients], variables)
        found.append(scale.numpy().tolist())
    return found, variables


@rules_with(option=OPTIONS)
def test_what_a_layer_gives_is_kept_as_it_is(rule, option):
    optimizer = make(rule, **suited(rule, OPTIONS[option]))
    found, variables = given_values(optimizer)
    assert found == GIVEN
    with optimizer.evaluation_weights():
        assert variables[0].numpy().tolist() == GIVEN[-1]
    moving = core(optimizer)
    assert len(moving.state.buckets) == len(moving.model_variables) == 1
    assert moving.iterations.numpy() == 4
    alone, _ = given_values(make(rule, **suited(rule, OPTIONS[option])), others=0)
    assert alone == GIVEN


def test_loss_scaling_does_not_scale_what_a_layer_gives():
    scaling = optimizers.LossScaleOptimizer(optimizers.SGD(0.1), initial_scale=8.0)
    assert given_values(scaling)[0] == GIVEN


@pytest.mark.parametrize("inner", [keras.optimizers.SGD, optimizers.SGD])
def test_of_a_window_the_largest_that_a_layer_gave_counts(inner):
    """So that small batches equal one large one: layers give extremes over a batch."""
    optimizer = inner(0.1, gradient_accumulation_steps=2)
    found, variables = given_values(optimizer)
    assert found[1] == [5.0, 3.0]
    assert found[3] == [7.0, 0.5]
    np.testing.assert_allclose(variables[1], 1 - 0.1 * 0.5 * 2, rtol=1e-6)


def test_a_window_that_is_saved_has_what_layers_gave(tmp_path):
    optimizer = optimizers.SGD(0.1, gradient_accumulation_steps=2)
    _, variables = given_values(optimizer, steps=1)
    store = {}
    optimizer.save_own_variables(store)
    again = optimizers.SGD(0.1, gradient_accumulation_steps=2)
    again.build(variables[::-1])
    again.load_own_variables(store)
    again.apply([np.array([1.0, 9.0], "float32")], variables[:1])
    assert variables[0].numpy().tolist() == [5.0, 9.0]
    np.testing.assert_allclose(variables[1], 1 - 0.1 * 0.5 / 2)


@pytest.mark.parametrize("others", [0, 1])
def test_replicas_agree_on_the_largest(others, mirrored):
    with mirrored.scope():
        scale = keras.Variable([1.0, 2.0])
        scale.overwrite_with_gradient = True
        moving = [keras.Variable([1.0]) for _ in range(others)]
        optimizer = optimizers.SGD(0.1)
        optimizer.build([scale, *moving])

    @tf.function
    def step():
        def replica():
            place = tf.distribute.get_replica_context().replica_id_in_sync_group
            given = tf.gather(tf.constant([[1.0, 5.0], [3.0, 4.0]]), place)
            optimizer.apply([given, *(tf.ones(1) for _ in moving)])

        mirrored.run(replica)

    step()
    for copy in mirrored.experimental_local_results(scale.value):
        assert copy.numpy().tolist() == [3.0, 5.0]


def test_float8_layers_train_as_with_keras_and_keep_their_scales():
    def scales(optimizer, **options):
        keras.utils.set_random_seed(0)
        net = built([keras.layers.Dense(8, "relu"), keras.layers.Dense(1)])
        for layer in net.layers:
            layer.quantize("float8")
        net.compile(optimizer, "mse")
        net.fit(X, Y, batch_size=8, epochs=2, verbose=0, shuffle=False, **options)
        return [v.numpy() for v in net.trainable_variables], net

    expected, _ = scales(keras.optimizers.SGD(0.01))
    found, _ = scales(optimizers.SGD(0.01))
    assert_all_close(found, expected)
    for averages in (keras.callbacks.SwapEMAWeights(), keras_gdx.callbacks.WeightAverager("swa")):
        averaged, net = scales(optimizers.SGD(0.01, use_ema=True), callbacks=[averages])
        given = [v.overwrite_with_gradient for v in net.trainable_variables]
        assert sum(given) == 12
        for is_given, a, b in zip(given, averaged, expected, strict=True):
            assert not is_given or np.allclose(a, b, rtol=1e-6)
