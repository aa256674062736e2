import json
import math
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras.optimizers import SGD, LossScaleOptimizer
from keras.optimizers.schedules import ExponentialDecay

from keras_gdx import optimizers
from keras_gdx.callbacks import (
    Callback,
    HyperparameterLogger,
    PlateauController,
    ReduceLROnPlateau,
    ResumableCheckpoint,
)
from keras_gdx.callbacks._lib.plateau import Plateau, observe
from keras_gdx.callbacks.plateau_controller import Control
from keras_gdx.report.metrics import direction

RECORDED = json.loads((Path(__file__).parent / "plateau.json").read_text())
nan, inf = math.nan, math.inf


def verdicts(values, **rule):
    state, said = Plateau(), []
    for value in values:
        state, verdict = observe(state, value, **rule)
        said.append({"improved": "+", "rise": "R", "plateau": "P", None: "."}[verdict])
    return "".join(said)


class Feed(Callback):
    """Replaces a metric by given numbers; comes before the controller in the list."""

    def __init__(self, values, name="val_loss"):
        super().__init__()
        self.values = values
        self.name = name

    def on_epoch_end(self, epoch, logs=None):
        logs[self.name] = self.values[epoch]


def rates(callback, values, rate=1.0, optimizer=None):
    """The learning rate after each value, without a training loop."""
    optimizer = optimizer or SGD(rate)
    callback.set_model(SimpleNamespace(optimizer=optimizer, metrics=[], stop_training=False))
    callback.on_train_begin()
    after = []
    for epoch, value in enumerate(values):
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {callback.monitor: value})
        after.append(float(optimizer.learning_rate))
    return after


@pytest.mark.parametrize(
    ("values", "rule", "expected"),
    [
        ([3, 2, 1], {"patience": 1}, "+++"),
        ([1, 1, 1, 1, 1], {"patience": 2}, "+.P.P"),
        ([1, 1, 1], {"patience": 1}, "+PP"),
        ([1, 1, 1], {"patience": 0}, "+PP"),
        ([1, 2, 0, 2, 2], {"patience": 2}, "+.+.P"),
        ([1, 1, 1, 1, 1, 1], {"patience": 1, "cooldown": 2}, "+P..P."),
        ([1, 1, 0, 0, 0], {"patience": 1, "cooldown": 2}, "+P+.P"),
        ([1, 2, 3], {"patience": 1, "mode": "max"}, "+++"),
        ([1, 0, 2], {"patience": 1, "mode": "max"}, "+P+"),
        ([100, 99.5, 98], {"patience": 1, "min_delta": 0.01}, "+P+"),
        ([100, 99.5, 98], {"patience": 1, "min_delta": 0.01, "relative": False}, "+++"),
        ([100, 100.5, 102], {"patience": 1, "min_delta": 0.01, "mode": "max"}, "+P+"),
        ([-100, -100.5, -102], {"patience": 1, "min_delta": 0.01}, "+P+"),
        ([-100, -99.5, -98], {"patience": 1, "min_delta": 0.01, "mode": "max"}, "+P+"),
        ([nan, 1, nan, inf, -inf, 0], {"patience": 2}, ".+.P.+"),
        ([nan, nan, nan], {"patience": 2}, ".P."),
        ([5, 4, 3, 2, 1], {"patience": 2, "rises": True}, "+R+R+"),
        ([5, 4, 4, 3, 2], {"patience": 2, "rises": True}, "+R.+R"),
        ([5, 4, 3, 2, 1], {"patience": 1, "cooldown": 1, "rises": True}, "R+R+R"),
        ([5, 5, 4, 3, 2], {"patience": 2, "cooldown": 1, "rises": True}, "+.+R+"),
    ],
)
def test_core(values, rule, expected):
    assert verdicts(values, **rule) == expected


@pytest.mark.parametrize(
    "case", RECORDED, ids=lambda c: f"{c['mode']}-{c['relative']}-{c['patience']}-{c['cooldown']}"
)
def test_core_decides_as_pytorch(case):
    rule = {k: case[k] for k in ("mode", "relative", "patience", "cooldown", "min_delta")}
    said = verdicts([nan if v is None else v for v in case["values"]], **rule)
    assert [i for i, verdict in enumerate(said) if verdict == "P"] == case["reduced"]


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("patience", [0, 1, 3])
@pytest.mark.parametrize("cooldown", [0, 1, 2, 4])
def test_drop_in_decides_as_keras(mode, patience, cooldown):
    values = np.random.default_rng(patience + cooldown).normal(size=90).round(3).tolist()
    arguments = ("metric", 0.5, patience, 0, mode, 0.25, cooldown, 1e-3)
    theirs = rates(keras.callbacks.ReduceLROnPlateau(*arguments), values)
    assert rates(ReduceLROnPlateau(*arguments), values) == theirs
    assert min(theirs) == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("loss", "min"), ("val_loss", "min"), ("val_head_loss", "min"), ("acc", "max"),
        ("val_accuracy", "max"), ("sparse_top_k_categorical_accuracy", "max"), ("auc_1", "max"),
        ("mean_absolute_error", "min"), ("root_mean_squared_error", "min"), ("mse", "min"),
        ("categorical_crossentropy", "min"), ("kl_divergence", "min"), ("hinge", "min"),
        ("f1_score", "max"), ("mean_io_u", "max"), ("r2_score", "max"), ("Precision", "max"),
        ("cosine_similarity", "max"), ("accuracy_loss", "min"), ("false_negatives", "min"),
        ("sensitivity_at_specificity", "max"), ("glossary", None), ("reward", None),
    ],
)  # fmt: skip
def test_direction_by_name(name, expected):
    assert direction(name) == expected


def test_lowers_and_stops_at_the_minimum():
    callback = PlateauController(patience=2, factor=0.5, min_learning_rate=0.2)
    assert rates(callback, [1] * 8) == pytest.approx([1, 1, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2])
    assert rates(PlateauController(patience=1, min_learning_rate=2.0), [1] * 3) == [1, 1, 1]


def test_loss_scale_and_multi_optimizer():
    assert rates(PlateauController(patience=1), [1, 1], optimizer=LossScaleOptimizer(SGD(1.0))) == [
        1,
        0.5,
    ]
    if hasattr(keras.optimizers, "MultiOptimizer"):
        parts = SGD(1.0, name="a"), SGD(0.1, name="b")
        optimizer = keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(*parts[:1]))
        optimizer.optimizers.append(parts[1])
        callback = PlateauController(patience=1)
        callback.set_model(SimpleNamespace(optimizer=optimizer))
        for epoch in range(2):
            callback.on_epoch_begin(epoch)
            callback.on_epoch_end(epoch, logs := {"val_loss": 1.0})
        assert [float(p.learning_rate) for p in parts] == pytest.approx([0.5, 0.05])
        assert logs["learning_rate_a"] == 1
        assert callback.changes[0]["learning_rate_b"] == pytest.approx(0.05)


def test_in_fit(problem):
    model = problem.model(SGD(0.5))
    callbacks = [
        Feed([3, 2, 2, 2, 1, 1]),
        PlateauController(patience=2),
        HyperparameterLogger(),
    ]
    history = problem.fit(model, callbacks, epochs=6)
    assert history["learning_rate"] == [0.5] * 4 + [0.25] * 2  # the rate in each epoch
    assert (
        callbacks[1].state()
        == Control(best=1, wait=1, observed=6, changes=tuple(callbacks[1].changes))._asdict()
    )
    change = {"kind": "plateau", "epoch": 3, "val_loss": 2.0, "best": 2.0, "learning_rate": 0.25}
    assert callbacks[1].changes == [change] == list(callbacks[1].findings())


@pytest.mark.parametrize("stop", range(1, 6))
def test_interrupted_is_uninterrupted(problem, stop):
    values = [3, 3, 3, 3, 2, 2]

    def make():
        return PlateauController(patience=1, cooldown=1)

    straight = problem.fit(problem.model(), [Feed(values), make()], epochs=6)
    model, first, second = problem.model(), make(), make()
    before = problem.fit(model, [Feed(values), first], epochs=stop)
    second.restore(json.loads(json.dumps(first.state())))
    after = problem.fit(model, [Feed(values), second], epochs=6, initial_epoch=stop)
    assert before["learning_rate"] + after["learning_rate"] == straight["learning_rate"]
    assert len({*straight["learning_rate"]}) > 2


@pytest.mark.parametrize(
    "make",
    [
        optimizers.SGD,
        lambda rate: LossScaleOptimizer(optimizers.SGD(rate)),
        lambda rate: optimizers.Lookahead(optimizers.SGD(rate)),
        lambda rate: optimizers.ScheduleFree(optimizers.SGD(rate)),
    ],
    ids=["sgd", "loss scale", "lookahead", "schedule free"],
)
def test_on_top_of_a_schedule(problem, make):
    model = problem.model(make(ExponentialDecay(0.5, 4, 0.5)))
    callbacks = [
        Feed([2, 1, 1, 1, 0]),
        PlateauController(patience=2),
        HyperparameterLogger(),
    ]
    history = problem.fit(model, callbacks, epochs=5)
    planned = [0.25, 0.125, 0.0625, 0.03125, 0.015625]
    assert history["learning_rate"] == [*planned[:4], planned[4] / 2]


def test_resumes_from_a_file_on_top_of_a_schedule(problem, tmp_path):
    def make():
        return PlateauController(patience=1, cooldown=1)

    def model():
        return problem.model(optimizers.Adam(ExponentialDecay(0.5, 8, 0.5)))

    values = [3, 3, 3, 3, 2, 2]
    straight = problem.fit(model(), [Feed(values), make()], epochs=6)
    interrupted, first, second = model(), make(), make()
    before = problem.fit(interrupted, [Feed(values), first], epochs=3)
    interrupted.save(tmp_path / "model.keras")
    second.restore(json.loads(json.dumps(first.state())))
    resumed = keras.models.load_model(tmp_path / "model.keras")
    after = problem.fit(resumed, [Feed(values), second], epochs=6, initial_epoch=3)
    assert before["learning_rate"] + after["learning_rate"] == straight["learning_rate"]


def test_under_a_strategy(problem):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("tf.distribute")
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        model = problem.model(SGD(0.5))
    history = problem.fit(model, [Feed([1, 1, 1]), PlateauController(patience=1)], epochs=3)
    assert history["learning_rate"] == [0.5, 0.5, 0.25]


def test_hooks_called_by_hand_change_all_rates_of_a_multi_optimizer():
    """Without `on_epoch_begin`, as in Keras' own tests."""
    parts = [SGD(0.5), SGD(0.2)]
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(2, name="a"), keras.layers.Dense(1, name="b")]
    )
    model.compile(
        keras.optimizers.MultiOptimizer(
            keras.optimizers.OptimizerMap(parts[0], {"a/.*": parts[1]})
        ),
        "mse",
    )
    control = ReduceLROnPlateau("loss", factor=0.5, patience=1)
    control.set_model(model)
    control.on_train_begin()
    for epoch in range(2):
        control.on_epoch_end(epoch, {"loss": 1.0})
    assert [float(x.learning_rate) for x in parts] == pytest.approx([0.25, 0.1])


def test_starts_later_and_passes_over_epochs_without_validation(problem):
    callback = PlateauController(patience=1, start_from_epoch=1)
    problem.fit(problem.model(SGD(0.0)), [callback], epochs=6, validation_freq=2)
    assert callback.memory.best is not None


def test_missing_metric(problem):
    with pytest.raises(ValueError, match=r"have loss\. Received: \w+\(monitor='val_loss'"):
        problem.fit(problem.model(), [PlateauController()], validation_data=None)


@pytest.mark.parametrize(
    "make",
    [
        lambda name: SGD(ExponentialDecay(0.5, 1, 0.5), name=name),
        lambda name: SGD(lambda: 0.5, name=name),
        lambda name: LossScaleOptimizer(SGD(ExponentialDecay(0.5, 1, 0.5), name=name)),
        lambda name: optimizers.Lookahead(SGD(ExponentialDecay(0.5, 1, 0.5), name=name)),
        lambda name: optimizers.SGD(lambda: 0.5, name=name),
    ],
    ids=["schedule", "callable", "loss scale", "lookahead", "our callable"],
)
def test_rate_that_cannot_be_changed(problem, make):
    model = problem.model(make("plain"))
    with pytest.raises(ValueError, match="learning rate of 'plain' cannot be changed"):
        problem.fit(model, [Feed([1, 1]), PlateauController(patience=1)])


def test_schedule_of_keras_own_optimizer_is_refused_before_the_first_epoch(problem):
    model = problem.model(SGD(ExponentialDecay(0.5, 1, 0.5)))
    with pytest.raises(ValueError, match="cannot be changed"):
        problem.fit(model, [PlateauController()], epochs=1)


def test_verbose(capsys):
    rates(PlateauController(patience=1, verbose=1), [nan, 1, 1])
    said = capsys.readouterr().out
    assert "Epoch 1: val_loss has not improved on None, learning_rate becomes 0.5." in said
    assert "Epoch 3: val_loss has not improved on 1.0, learning_rate becomes 0.25." in said


def test_logs_what_it_says_where_keras_does(capsys, caplog):
    keras.config.disable_interactive_logging()
    try:
        with caplog.at_level("INFO", "keras_gdx"):
            rates(PlateauController(patience=1, verbose=1), [nan])
    finally:
        keras.config.enable_interactive_logging()
    assert capsys.readouterr().out == ""
    (said,) = caplog.messages
    assert said == "Epoch 1: val_loss has not improved on None, learning_rate becomes 0.5."


def test_rises_while_it_improves():
    values = [9, 8, 7, 6, 5, 5, 5, 5]
    callback = PlateauController(patience=2, rise=2.0, max_learning_rate=3.0, factor=0.1)
    assert rates(callback, values) == pytest.approx([1, 2, 2, 3, 3, 3, 0.3, 0.3])
    assert [c["kind"] for c in callback.changes] == ["rise", "rise", "plateau"]
    assert [c["epoch"] for c in callback.changes] == [1, 3, 6]


def test_rises_no_further_than_the_limit():
    callback = PlateauController(patience=1, rise=2.0, max_learning_rate=1.5, verbose=1)
    assert rates(callback, [3, 2, 1]) == [1.5, 1.5, 1.5]
    assert len(callback.changes) == 1
    assert rates(PlateauController(patience=1, rise=2.0), [3, 2, 1]) == [2, 4, 8]


# -- every so many batches ---------------------------------------------------------------------


class Told(PlateauController):
    """Records the values that it receives."""

    def _observe(self, value):
        self.values = [*getattr(self, "values", []), value]
        super()._observe(value)


@pytest.mark.parametrize("at_once", [1, 3])
def test_values_are_means_of_the_losses_of_batches(problem, at_once):
    callback = Told("loss", every=3, patience=99)
    model = problem.model(SGD(0.0), steps_per_execution=at_once)
    x, y = problem.x[:14], problem.y[:14]  # batches of 4, 4, 4 and 2
    model.fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0, callbacks=[callback])
    losses = (y - model.predict(x, verbose=0)).ravel() ** 2
    if at_once == 1:
        epochs = np.concatenate([losses, losses, losses])
        cuts = [0, 12, 12 + 10, 12 + 10 + 10, 42]  # 3 batches each, the short ones included
    else:
        epochs, cuts = np.concatenate([losses, losses, losses]), [0, 12, 26, 40, 42]
    expected = [epochs[a:b].mean() for a, b in pairwise(cuts)]
    assert callback.values == pytest.approx(expected, rel=1e-5)


def test_acts_between_epochs_and_within(problem):
    callback = PlateauController("loss", every=3, patience=1, factor=0.5, min_delta=0.5)
    model = problem.model(optimizers.SGD(ExponentialDecay(0.01, 100, 0.5)))
    problem.fit(model, [callback], epochs=3)
    assert [(c["epoch"], c["step"]) for c in callback.changes] == [(1, 6), (2, 9), (2, 12)]
    planned = 0.01 * 0.5 ** (12 / 100)
    assert callback.changes[-1]["learning_rate"] == pytest.approx(planned / 8)


def test_a_loss_that_is_no_number_spoils_its_epoch_only(problem):
    callback = Told("loss", every=2, patience=99)
    x = problem.x.copy()
    x[1] = nan  # no step is taken, but Keras' running totals become NaN
    model = problem.model(optimizers.SGD(0.0, skip_nonfinite=True))
    model.fit(x, problem.y, batch_size=4, epochs=2, shuffle=False, verbose=0, callbacks=[callback])
    assert [math.isnan(v) for v in callback.values] == [True] * 4
    assert callback.memory.offset == (0.0, 0.0)
    model.fit(problem.x, problem.y, batch_size=4, verbose=0, shuffle=False, callbacks=[callback])
    assert all(map(math.isfinite, callback.values[4:]))


def test_two_replicas_decide_as_one(problem, mirrored):
    from keras_gdx import distribute

    def train(strategy=None):
        callback = PlateauController("loss", every=3, patience=1, factor=0.5, min_delta=0.1)
        with strategy.scope() if strategy else nullcontext():
            model = problem.model(optimizers.SGD(0.01))
        distribute.prepare(model)
        problem.fit(model, [callback], epochs=6)
        return callback.changes

    one, two = train(), train(mirrored)
    assert [c["step"] for c in one] == [c["step"] for c in two] != []
    assert [c["loss"] for c in one] == pytest.approx([c["loss"] for c in two], rel=1e-5)


# -- going back --------------------------------------------------------------------------------


class Weights(Callback):
    """Records the model's weights at the end of each epoch."""

    def on_epoch_end(self, epoch, logs=None):
        self.seen = [*getattr(self, "seen", []), self.model.get_weights()[0].copy()]


@pytest.mark.parametrize(
    "make",
    [
        lambda rate: keras.optimizers.Adam(rate),
        lambda rate: optimizers.Adam(ExponentialDecay(rate, 100, 0.5)),
        lambda rate: LossScaleOptimizer(optimizers.Adam(rate)),
        lambda rate: optimizers.ScheduleFreeSGD(rate),
        lambda rate: optimizers.Lookahead(optimizers.SGD(rate, gradient_accumulation_steps=3)),
    ],
    ids=["keras", "schedule", "loss scale", "schedule free", "lookahead"],
)
def test_a_plateau_leads_back_to_the_best_weights(problem, make):
    model = problem.model(make(0.05))
    before, after = Weights(), Weights()
    control = PlateauController(patience=2, rollback=True, factor=0.5)
    problem.fit(model, [before, Feed([3, 1, 2, 2]), control, after], epochs=4)
    np.testing.assert_array_equal(after.seen[3], before.seen[1])
    assert not np.array_equal(before.seen[3], before.seen[1])
    count = int(model.optimizer.iterations)
    assert count == 4 * (2 if isinstance(model.optimizer, optimizers.Lookahead) else 4)
    rate = float(model.optimizer.learning_rate)
    schedule = 0.5 ** (16 / 100) if isinstance(model.optimizer, optimizers.Adam) else 1
    assert rate == pytest.approx(0.025 * schedule)


def test_what_follows_a_rollback_is_training_from_there(problem):
    """The slots are restored too: the second epoch is repeated at half the rate."""
    model = problem.model(optimizers.SGD(0.05, momentum=0.9))
    seen = Weights()
    control = PlateauController(patience=1, rollback=True)
    problem.fit(model, [Feed([1, 2, 0]), control, seen], epochs=3)
    other = problem.model(optimizers.SGD(0.05, momentum=0.9))
    problem.fit(other, [], epochs=1)
    other.optimizer.learning_rate = 0.025
    problem.fit(other, [], epochs=1)
    np.testing.assert_array_equal(seen.seen[2], other.get_weights()[0])


@pytest.mark.parametrize("every", ["epoch", 3])
def test_rolls_back_after_an_interruption(problem, tmp_path, every):
    def train(stop=None):
        metric = "val_loss" if every == "epoch" else "loss"
        options = {"every": every, "patience": 1, "min_delta": 0.05, "rollback": True}
        control = PlateauController(metric, **options)
        keep = ResumableCheckpoint(tmp_path / str(stop is None), "2 steps", on_signal=False)
        model = problem.model(optimizers.Adam(0.3))
        crash = keras.callbacks.LambdaCallback(on_train_batch_end=interrupt_after(stop))
        problem.fit(model, [control, crash, keep], epochs=8)
        return model.get_weights()[0], control.changes

    def interrupt_after(stop):
        seen = []

        def hook(batch, logs=None):
            seen.append(batch)
            if len(seen) == stop:
                raise KeyboardInterrupt

        return hook

    weights, changes = train()
    for stop in (13, 7):
        with pytest.raises(KeyboardInterrupt):
            train(stop)
    resumed, found = train(10**9)
    assert len(changes) > 2
    assert found == changes
    np.testing.assert_array_equal(resumed, weights)


def test_stops_at_the_minimum_with_the_best_weights(problem, capsys):
    options = {"min_learning_rate": 0.02, "rollback": True, "stop": True, "verbose": 1}
    control = PlateauController(patience=1, **options)
    model, weights = problem.model(SGD(0.05)), Weights()
    history = problem.fit(model, [Feed([1, 2, 3, 4, 5]), weights, control], epochs=5)
    assert history["learning_rate"] == pytest.approx([0.05, 0.05, 0.025, 0.02])
    np.testing.assert_array_equal(model.get_weights()[0], weights.seen[0])
    said = capsys.readouterr().out
    assert "Epoch 4: val_loss has not improved on 1" in said
    assert "becomes 0.02. Training stops." in said


def test_a_model_without_weights_cannot_go_back():
    """In a custom loop; `fit` makes them first."""
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    control = PlateauController("loss", rollback=True)
    control.set_model(model)
    with pytest.raises(ValueError, match="`model` must be built"):
        control.on_train_begin()


@pytest.mark.parametrize(
    "arguments",
    [
        {"every": 0, "monitor": "loss"}, {"every": "10 minutes", "monitor": "loss"}, {"rise": 1.0},
        {"max_learning_rate": 0}, {"max_learning_rate": 0.1, "min_learning_rate": 0.2},
        {"rollback": "yes"}, {"stop": 2, "min_learning_rate": 1e-3}, {"min_learning_rate": 0.0,
        "stop": True}, {"monitor": "val_loss", "every": 5},
    ],
    ids=str,
)  # fmt: skip
def test_bad_arguments_beyond_those_of_keras(arguments):
    with pytest.raises(ValueError, match=f"Argument `{next(iter(arguments))}` must be"):
        PlateauController(**arguments)


@pytest.mark.parametrize("cls", [PlateauController, ReduceLROnPlateau])
@pytest.mark.parametrize(
    "arguments",
    [
        {"monitor": 1}, {"factor": 1.0}, {"factor": 0}, {"factor": "half"}, {"patience": -1},
        {"patience": 1.5}, {"cooldown": -1}, {"min_delta": -1}, {"mode": "up"}, {"verbose": "x"},
        {"start_from_epoch": True}, {"monitor": "val_los", "mode": "auto"},
    ],
    ids=str,
)  # fmt: skip
def test_bad_arguments(cls, arguments):
    with pytest.raises(ValueError, match=f"Argument `{next(iter(arguments))}` must be"):
        cls(**arguments)


def test_drop_in_has_the_arguments_of_keras():
    callback = ReduceLROnPlateau("acc", 0.2, 3, 1, "max", 0.01, 2, 0.001)
    assert callback.get_config() == {
        "monitor": "acc", "factor": 0.2, "patience": 3, "verbose": 1, "mode": "max",
        "min_delta": 0.01, "cooldown": 2, "min_lr": 0.001, "start_from_epoch": 0,
    }  # fmt: skip
    assert ReduceLROnPlateau.from_config(callback.get_config()).min_lr == 0.001
