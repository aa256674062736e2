import json
import math
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras.optimizers import SGD, LossScaleOptimizer
from keras.optimizers.schedules import ExponentialDecay

from keras_gdx import optimizers
from keras_gdx.callbacks import Callback, HyperparameterLogger, PlateauController, ReduceLROnPlateau
from keras_gdx.callbacks.plateau_controller import Plateau, direction, observe

RECORDED = json.loads((Path(__file__).parent / "plateau.json").read_text())
nan, inf = math.nan, math.inf


def verdicts(values, **rule):
    state, said = Plateau(), []
    for value in values:
        state, verdict = observe(state, value, **rule)
        said.append({"improved": "+", "plateau": "P", None: "."}[verdict])
    return "".join(said)


class Feed(Callback):
    """Replaces a metric by numbers of the test's choice; stands before the controller."""

    def __init__(self, values, name="val_loss"):
        super().__init__()
        self.values = values
        self.name = name

    def on_epoch_end(self, epoch, logs=None):
        logs[self.name] = self.values[epoch]


def rates(callback, values, rate=1.0, optimizer=None):
    """The learning rate after each value, without a training loop."""
    optimizer = optimizer or SGD(rate)
    callback.set_model(SimpleNamespace(optimizer=optimizer, metrics=[]))
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
        callback.on_epoch_end(0, {"val_loss": 1.0})
        callback.on_epoch_end(1, logs := {"val_loss": 1.0})
        assert [float(p.learning_rate) for p in parts] == pytest.approx([0.5, 0.05])
        assert logs["learning_rate_a"] == 1


def test_in_fit(problem):
    model = problem.model(SGD(0.5))
    callbacks = [Feed([3, 2, 2, 2, 1, 1]), PlateauController(patience=2), HyperparameterLogger()]
    history = problem.fit(model, callbacks, epochs=6)
    assert history["learning_rate"] == [0.5] * 4 + [0.25] * 2  # what each epoch was trained with
    assert callbacks[1].state() == {"best": 1, "wait": 1, "cooldown": 0}


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
    callbacks = [Feed([2, 1, 1, 1, 0]), PlateauController(patience=2), HyperparameterLogger()]
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


def test_starts_later_and_passes_over_epochs_without_validation(problem):
    callback = PlateauController(patience=1, start_from_epoch=1)
    problem.fit(problem.model(SGD(0.0)), [callback], epochs=6, validation_freq=2)
    assert callback.memory.best is not None


def test_missing_metric(problem):
    with pytest.raises(ValueError, match=r"are loss\. Received: monitor='val_loss'"):
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
    with pytest.raises(ValueError, match="learning rate of 'plain' cannot be lowered"):
        problem.fit(model, [Feed([1, 1]), PlateauController(patience=1)])


def test_schedule_of_keras_own_optimizer_is_refused_before_the_first_epoch(problem):
    model = problem.model(SGD(ExponentialDecay(0.5, 1, 0.5)))
    with pytest.raises(ValueError, match="cannot be lowered"):
        problem.fit(model, [PlateauController()], epochs=1)


def test_verbose(capsys):
    rates(PlateauController(patience=1, verbose=1), [nan, 1, 1])
    said = capsys.readouterr().out
    assert "Epoch 1: val_loss has not improved on None, learning_rate becomes 0.5." in said
    assert "Epoch 3: val_loss has not improved on 1.0, learning_rate becomes 0.25." in said


@pytest.mark.parametrize("cls", [PlateauController, ReduceLROnPlateau])
@pytest.mark.parametrize(
    "arguments",
    [
        {"monitor": 1}, {"factor": 1.0}, {"factor": 0}, {"factor": "half"}, {"patience": -1},
        {"patience": 1.5}, {"cooldown": -1}, {"min_delta": -1}, {"mode": "up"}, {"verbose": "x"},
        {"start_from_epoch": True}, {"mode": "auto", "monitor": "reward"},
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
