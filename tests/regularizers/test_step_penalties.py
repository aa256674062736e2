"""Penalties on derivatives with respect to the inputs, attached to models."""

from functools import cache

import keras
import numpy as np
import pytest
from keras import Input, layers, ops

import keras_gdx
from keras_gdx.regularizers import L2, GradientPenalty, JacobianPenalty, Scheduled, apply
from keras_gdx.schedules import Linear

RATE = 0.1
CHANCE = np.random.default_rng(0)
X = CHANCE.normal(size=(8, 3)).astype("float32")
Y = CHANCE.normal(size=(8, 2)).astype("float32")
W = CHANCE.normal(size=(3, 2)).astype("float32")
PENALTIES = [GradientPenalty(0.3), JacobianPenalty(0.3), JacobianPenalty(0.3, None)]
every_penalty = pytest.mark.parametrize("penalty", PENALTIES, ids=repr)


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    """Does not even accept `training`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.body = linear()

    def call(self, x):
        return self.body(x)


def linear():
    return layers.Dense(2, use_bias=False)


def sequential():
    return keras.Sequential([Input((3,)), linear()])


def functional():
    x = Input((3,))
    return keras.Model(x, linear()(x))


def quadratic():
    x = Input((3,))
    return keras.Model(x, ops.square(linear()(x)))


def curved():
    x = Input((3,))
    return keras.Model(x, linear()(layers.Dense(4, "tanh")(x)))


def wider():
    return keras.Sequential([Input((3,)), layers.Dense(5, use_bias=False)])


def compiled(make, *penalties, optimizer=None, w=W, **options):
    keras.utils.set_random_seed(0)
    model = make()
    model(X)
    if w is not None:
        model.set_weights([w])
    model.compile(optimizer or keras.optimizers.SGD(RATE), "mse", **options)
    for penalty in penalties:
        assert apply(model, penalty) == []
    return model


def loss_of_step(model, *batch, **options):
    """The loss of one batch; Keras 3.12 returns a running mean over batches otherwise."""
    model.reset_metrics()
    return float(model.train_on_batch(*batch, **options))


def step(model, x=X, y=Y, **options):
    """The loss before one step of gradient descent, and the gradient of all weights."""
    before = model.get_weights()
    loss = loss_of_step(model, x, y, **options)
    return loss, [(a - b) / RATE for a, b in zip(before, model.get_weights(), strict=True)]


def added(make, penalty, x=X, y=Y, weights=None, **options):
    """What a penalty adds to the loss and to the gradient of the single kernel."""
    loss, (slope,) = step(compiled(make, penalty, **options), x, y, sample_weight=weights)
    plain, (usual,) = step(compiled(make, **options), x, y, sample_weight=weights)
    return loss - plain, slope - usual


# -- values and gradients --------------------------------------------------------------------


@pytest.mark.parametrize("make", [sequential, functional, Subclassed])
@pytest.mark.parametrize(
    "options", [{"jit_compile": True}, {"jit_compile": False}, {"run_eagerly": True}], ids=str
)
def test_gradient_penalty_of_a_linear_model(make, options):
    residuals = X @ W - Y  # the loss of an example is the mean of two squares, its gradient r W'
    slopes = residuals @ W.T
    value = 0.3 * (slopes**2).sum(1).mean()
    gradient = 0.6 * (X.T @ slopes @ W + slopes.T @ residuals) / len(X)
    found = added(make, GradientPenalty(0.3), **options)
    np.testing.assert_allclose(found[0], value, rtol=1e-5)
    np.testing.assert_allclose(found[1], gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [sequential, functional, Subclassed])
@pytest.mark.parametrize("jit_compile", [True, False])
def test_jacobian_of_a_linear_model_is_its_kernel(make, jit_compile):
    value, gradient = added(make, JacobianPenalty(0.3, None), jit_compile=jit_compile)
    np.testing.assert_allclose(value, 0.15 * (W**2).sum(), rtol=1e-5)
    np.testing.assert_allclose(gradient, 0.3 * W, rtol=1e-4, atol=1e-5)


def test_jacobian_of_a_quadratic_model():
    z, squares = X @ W, (W**2).sum(0)
    value, gradient = added(quadratic, JacobianPenalty(0.3, None))
    np.testing.assert_allclose(value, 0.6 * (z**2 @ squares).mean(), rtol=1e-5)
    expected = 1.2 * (X.T @ z * squares + W * (z**2).sum(0)) / len(X)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


def test_projections_are_right_on_average():
    w = CHANCE.normal(size=(3, 5)).astype("float32")
    x, y = np.zeros((50, 3)), np.zeros((50, 5))
    spread = {}
    for projections in (1, 4):
        penalty = JacobianPenalty(2.0, projections)
        model = compiled(wider, penalty, w=w, optimizer=keras.optimizers.SGD(0.0))
        draws = np.array([loss_of_step(model, x, y) for _ in range(60)])
        error = draws.std() / np.sqrt(len(draws))
        assert len(set(draws)) == len(draws)
        assert error < 0.02 * (w**2).sum()
        assert abs(draws.mean() - (w**2).sum()) < 4 * error
        spread[projections] = draws.std()
    np.testing.assert_allclose(spread[4], spread[1] / 2, rtol=0.3)


def test_one_output_needs_one_projection():
    def make():
        return keras.Sequential([Input((3,)), layers.Dense(1, use_bias=False)])

    values = [added(make, JacobianPenalty(0.3, n), y=Y[:, :1], w=W[:, :1])[0] for n in (1, None)]
    np.testing.assert_allclose(values, 0.15 * (W[:, 0] ** 2).sum(), rtol=1e-4)


def test_a_loss_of_the_models_own_counts():
    class Own(Subclassed):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return ops.mean(y_pred[:, 0])

    value, _ = added(Own, GradientPenalty(0.3))
    np.testing.assert_allclose(value, 0.3 * (W[:, 0] ** 2).sum(), rtol=1e-5)


def test_dictionaries_and_inputs_that_have_no_derivative():
    def make():
        inputs = {
            "a": Input((3,), name="a"),
            "b": Input((2,), name="b"),
            "i": Input((), name="i", dtype="int32"),
        }
        joined = layers.Concatenate()([inputs["a"], inputs["b"]])
        outputs = linear()(joined) + layers.Embedding(4, 2, trainable=False)(inputs["i"])
        return keras.Model(inputs, {"out": outputs})

    w = CHANCE.normal(size=(5, 2)).astype("float32")
    x = {"a": X, "b": Y, "i": np.arange(8, dtype="int32") % 4}
    models = [make(), make()]
    for model in models:
        model.set_weights([w, np.zeros((4, 2))])
        model.compile(keras.optimizers.SGD(RATE), {"out": "mse"})
    apply(models[0], JacobianPenalty(0.3, None))
    with_it, without = (model.train_on_batch(x, {"out": Y}) for model in models)
    np.testing.assert_allclose(with_it - without, 0.15 * (w**2).sum(), rtol=1e-4)


def test_weights_of_examples():
    weights = np.array([0, 0, 0, 0, 1, 1, 2, 2], "float32")
    slopes = weights[:, None] * ((X @ W - Y) @ W.T)
    value, _ = added(sequential, GradientPenalty(0.3), weights=weights)
    np.testing.assert_allclose(value, 0.3 * (slopes**2).sum(1).mean(), rtol=1e-5)
    value, _ = added(sequential, JacobianPenalty(0.3, None), weights=weights)
    np.testing.assert_allclose(value, 0.15 * (W**2).sum(), rtol=1e-5)


# -- in every combination --------------------------------------------------------------------


class Counting(keras.Model):
    """Counts how often its loss was called, as the documentation of Keras shows."""

    def __init__(self):
        super().__init__()
        self.tracker = keras.metrics.Mean(name="own")
        self.body = keras.Sequential(
            [layers.Dense(4, activity_regularizer="l2"), layers.BatchNormalization()]
        )
        self.dropout = layers.Dropout(0.5)
        self.heads = [layers.Dense(2), layers.Dense(2)]

    def call(self, x, training=False):
        x = self.dropout(self.body(x, training=training), training=training)
        return [head(x) for head in self.heads]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        self.tracker.update_state(loss)
        return loss


@cache
def counted(*penalties):
    """Logs and weights of a model with metrics, statistics and random draws."""
    keras.utils.set_random_seed(0)
    model = Counting()
    model.compile(keras.optimizers.SGD(RATE), ["mse", "mae"], jit_compile=True)
    for each in penalties:
        apply(model, each)
    history = model.fit(X, [Y, Y], epochs=3, batch_size=4, verbose=0, validation_split=0.25)
    return history.history, model.get_weights()


@every_penalty
def test_of_no_strength_changes_nothing(penalty):
    weak = type(penalty).from_config({**penalty.get_config(), "factor": 0.0})
    logs, weights = counted(weak)
    expected, others = counted()
    assert logs.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(logs[name], values, rtol=1e-5, err_msg=name)
    for a, b in zip(weights, others, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def trained(*penalties, optimizer=None, epochs=2, batch_size=4, **options):
    model = compiled(curved, *penalties, w=None, optimizer=optimizer, **options)
    model.fit(X, Y, epochs=epochs, batch_size=batch_size, shuffle=False, verbose=0)
    return model.get_weights()


def assert_same(found, expected, rtol=1e-4, atol=1e-6):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


@every_penalty
def test_counts_in_training(penalty):
    with pytest.raises(AssertionError):
        assert_same(trained(penalty), trained(), rtol=1e-2)


@pytest.mark.parametrize("penalty", [PENALTIES[0], PENALTIES[2]], ids=repr)
def test_small_batches_are_one_large_one(penalty):
    optimizer = keras_gdx.optimizers.SGD(RATE, gradient_accumulation_steps=2)
    assert_same(trained(penalty, optimizer=optimizer), trained(penalty, batch_size=8))


def test_projections_of_small_batches_differ():
    optimizer = keras_gdx.optimizers.SGD(0.0, gradient_accumulation_steps=100)
    model = compiled(sequential, JacobianPenalty(1.0), optimizer=optimizer)
    assert len({loss_of_step(model, X, Y) for _ in range(3)}) == 3


@every_penalty
def test_several_steps_per_execution(penalty):
    assert_same(trained(penalty, steps_per_execution=2), trained(penalty))


@every_penalty
@pytest.mark.parametrize("jit_compile", [True, False])
def test_mixed_precision(penalty, jit_compile):
    expected = trained(penalty, jit_compile=jit_compile)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        found = trained(penalty, jit_compile=jit_compile)
    finally:
        keras.config.set_dtype_policy("float32")
    assert_same(found, expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("penalty", [PENALTIES[0], PENALTIES[2]], ids=repr)
def test_two_replicas_are_one(penalty, mirrored):
    expected = trained(penalty, optimizer=keras_gdx.optimizers.SGD(RATE))
    with mirrored.scope():
        found = trained(penalty, optimizer=keras_gdx.optimizers.SGD(RATE))
    assert_same(found, expected)


def test_replicas_draw_for_themselves(mirrored):
    with mirrored.scope():
        model = compiled(sequential, JacobianPenalty(1.0), optimizer=keras_gdx.optimizers.SGD(0.0))
    one = compiled(sequential, JacobianPenalty(1.0), optimizer=keras_gdx.optimizers.SGD(0.0))
    zeros = np.zeros((2, 3)), np.zeros((2, 2))
    both = model.fit(*zeros, batch_size=2, verbose=0).history["loss"][0]
    first = one.fit(zeros[0][:1], zeros[1][:1], verbose=0).history["loss"][0]
    assert abs(both - first) > 1e-3


def test_a_schedule_of_the_strength():
    changing = Scheduled(JacobianPenalty(1.0, None), Linear(1.0, 4))
    model = compiled(sequential, changing, optimizer=keras.optimizers.SGD(0.0))
    found = [loss_of_step(model, np.zeros((2, 3)), np.zeros((2, 2))) for _ in range(5)]
    np.testing.assert_allclose(found, 0.5 * (W**2).sum() * np.linspace(1, 0, 5), atol=1e-6)


# -- attached --------------------------------------------------------------------------------


def penalty_in(model):
    """What a step adds to the loss of zeros, which is 0."""
    model.optimizer.learning_rate = 0.0
    return loss_of_step(model, np.zeros((2, 3)), np.zeros((2, 2))) / (W**2).sum()


def test_one_of_each_class_beside_those_on_weights():
    jacobian = JacobianPenalty(1.0, None)
    both = compiled(sequential, GradientPenalty(0.3), jacobian)
    loss, (slope,) = step(both)
    plain, (usual,) = step(compiled(sequential))
    parts = [added(sequential, each) for each in (GradientPenalty(0.3), jacobian)]
    np.testing.assert_allclose(loss - plain, parts[0][0] + parts[1][0], rtol=1e-4)
    np.testing.assert_allclose(slope - usual, parts[0][1] + parts[1][1], rtol=1e-3, atol=1e-5)
    for model in (both, decayed := compiled(sequential)):
        apply(model, L2(1.0))
        model.set_weights([W])
    loss, (slope,) = step(both)
    plain, (usual,) = step(decayed)
    np.testing.assert_allclose(loss - plain, parts[0][0] + parts[1][0], rtol=1e-4)
    np.testing.assert_allclose(slope - usual, parts[0][1] + parts[1][1], rtol=1e-3, atol=1e-5)
    model = compiled(sequential, jacobian)
    apply(model, L2(1.0))
    assert penalty_in(model) == pytest.approx(1.5, rel=1e-5)
    apply(model, JacobianPenalty(4.0, None))
    assert penalty_in(model) == pytest.approx(3.0, rel=1e-5)
    apply(model, None, include="kernel")
    assert penalty_in(model) == pytest.approx(2.0, rel=1e-5)
    apply(model, None)
    assert penalty_in(model) == 0


def test_counts_after_another_compile_and_not_in_evaluation():
    model = compiled(sequential, JacobianPenalty(1.0, None))
    zeros = np.zeros((2, 3)), np.zeros((2, 2))
    for optimizer in (keras.optimizers.SGD(0.0), keras_gdx.optimizers.Adam(0.0)):
        model.compile(optimizer, "mse")
        assert penalty_in(model) == pytest.approx(0.5, rel=1e-5)
        assert model.evaluate(*zeros, verbose=0) == 0


@pytest.mark.parametrize("make", [sequential, functional, Subclassed])
def test_a_loaded_model_needs_it_again(make, tmp_path):
    model = compiled(make, JacobianPenalty(1.0, None))
    assert penalty_in(model) == pytest.approx(0.5, rel=1e-5)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert penalty_in(again) == 0
    apply(again, JacobianPenalty(1.0, None))
    assert penalty_in(again) == pytest.approx(0.5, rel=1e-5)


def test_a_loaded_model_goes_on_with_the_same_draws(tmp_path):
    data, weights = {"x": X, "y": Y, "batch_size": 4, "shuffle": False, "verbose": 0}, []
    for interrupted in (False, True):
        optimizer = keras_gdx.optimizers.Adam(RATE, gradient_accumulation_steps=3)
        model = compiled(curved, JacobianPenalty(1.0), optimizer=optimizer, w=None)
        model.fit(epochs=2, **data)
        if interrupted:
            model.save(tmp_path / "model.keras")
            model = keras.models.load_model(tmp_path / "model.keras")
            apply(model, JacobianPenalty(1.0))
        model.fit(epochs=2, **data)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


# -- refused ---------------------------------------------------------------------------------


@every_penalty
def test_needs_inputs_that_have_derivatives(penalty):
    def indices():
        return keras.Sequential([Input((3,)), layers.Embedding(5, 2), layers.Flatten(), linear()])

    for x in (np.ones((8, 3), "int32"), np.ones((8, 3), "float32")):
        model = compiled(indices, penalty, w=None)
        with pytest.raises(ValueError, match="derivatives with respect to the inputs"):
            model.fit(x, Y, verbose=0)


def test_needs_a_step_that_asks_for_it():
    class Alone(Subclassed):
        def train_step(self, data):
            return {"loss": ops.sum(self(data[0]))}

    model = compiled(Alone, GradientPenalty(0.1))
    with pytest.raises(ValueError, match=r"GradientPenalty cannot be applied: .* of Alone"):
        model.fit(X, Y, verbose=0)
    apply(model, None)
    model.fit(X, Y, verbose=0)


def test_needs_to_be_told_what_is_training():
    class Old(Subclassed):
        def compute_loss(self, x, y, y_pred, sample_weight):
            return ops.mean(y_pred)

    class Short(Subclassed):
        def compute_loss(self, **kwargs):
            return super().compute_loss(**kwargs)

    for make in (Old, Short):
        with pytest.raises(ValueError, match="`model` must be one whose `compute_loss` takes"):
            compiled(make, GradientPenalty(0.1))


def test_needs_a_mean_over_examples():
    model = compiled(sequential)
    model.compile("sgd", keras.losses.MeanSquaredError(reduction="sum"))
    apply(model, GradientPenalty(0.1))
    with pytest.raises(ValueError, match="must be a mean over the examples"):
        model.fit(X, Y, verbose=0)


@every_penalty
def test_belongs_to_no_variable(penalty):
    with pytest.raises(ValueError, match="attach it to a model"):
        keras.Sequential([Input((3,)), layers.Dense(1, kernel_regularizer=penalty)]).losses  # noqa: B018
    for name in ("include", "exclude"):
        with pytest.raises(ValueError, match=f"`{name}` must be None"):
            apply(sequential(), penalty, **{name: "kernel"})


@pytest.mark.parametrize("cls", [GradientPenalty, JacobianPenalty])
def test_says_at_once_what_is_wrong(cls, monkeypatch):
    for factor in (-1, float("nan"), "much", None):
        with pytest.raises(ValueError, match="factor"):
            cls(factor)
    for projections in (0, 1.5, "all"):
        with pytest.raises(ValueError, match="projections"):
            JacobianPenalty(0.1, projections)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="TensorFlow"):
        cls(0.1)
