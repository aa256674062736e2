import csv

import keras
import pytest
from keras.optimizers import SGD, Adam, AdamW, LossScaleOptimizer
from keras.optimizers.schedules import ExponentialDecay

from keras_gdx import optimizers
from keras_gdx.callbacks import Callback, HyperparameterLogger

halves = ExponentialDecay(0.5, 4, 0.5)  # over epochs of four batches


class Wrapper(SGD):
    """A wrapper whose own rate is the one that counts, not the inner optimizer's."""

    def __init__(self, inner):
        super().__init__(0.125)
        self.momentum = None
        self.inner = inner


class Scheduled(SGD):
    """An optimizer with a schedule for something other than the learning rate."""

    def __init__(self):
        super().__init__(0.1)
        self.beta_1 = ExponentialDecay(0.5, 1, 0.5)


def logged(optimizer, **options):
    logger = HyperparameterLogger(**options)
    logger.set_model(keras.Model())
    logger.model.optimizer = optimizer
    logger.on_train_begin()
    logs = {}
    logger.on_epoch_end(0, logs)
    return logs


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (SGD(0.25), {"learning_rate": 0.25, "momentum": 0.0}),
        (SGD(lambda: 0.25), {"learning_rate": 0.25, "momentum": 0.0}),
        (SGD(halves, momentum=0.5), {"learning_rate": 0.5, "momentum": 0.5}),
        (Adam(0.25, beta_1=0.5), {"learning_rate": 0.25, "beta_1": 0.5}),
        (
            AdamW(0.25, weight_decay=0.125, beta_1=0.5, use_ema=True, ema_momentum=0.75),
            {"learning_rate": 0.25, "weight_decay": 0.125, "beta_1": 0.5, "ema_momentum": 0.75},
        ),
        (LossScaleOptimizer(Adam(halves, beta_1=0.5)), {"learning_rate": 0.5, "beta_1": 0.5}),
        (Wrapper(LossScaleOptimizer(SGD(0.25))), {"learning_rate": 0.125, "momentum": 0.0}),
    ],
    ids=["number", "callable", "schedule", "adam", "adamw", "loss scale", "wrapper"],
)
def test_every_kind_of_optimizer(optimizer, expected):
    assert logged(optimizer) == expected


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (
            lambda: optimizers.SGD(halves, momentum=halves),
            {"learning_rate": 0.25, "momentum": 0.25},
        ),
        (lambda: optimizers.SGD(lambda: 0.25), {"learning_rate": 0.25, "momentum": 0.0}),
        (lambda: optimizers.Lion(0.25, weight_decay=halves), {"weight_decay": 0.25}),
        (lambda: LossScaleOptimizer(optimizers.SGD(halves)), {"learning_rate": 0.25}),
        (lambda: optimizers.Lookahead(optimizers.SGD(halves)), {"learning_rate": 0.25}),
        (lambda: optimizers.ScheduleFree(optimizers.Lion(0.25)), {"learning_rate": 0.25}),
    ],
    ids=["sgd", "callable", "lion", "loss scale", "lookahead", "schedule free"],
)
def test_every_kind_of_our_own(make, expected, problem):
    history = problem.fit(problem.model(make()), [HyperparameterLogger()], epochs=1)
    assert expected.items() <= {key: value[0] for key, value in history.items()}.items()


def test_schedule_of_another_hyperparameter():
    optimizer = Scheduled()
    optimizer.iterations.assign(2)
    assert logged(optimizer, names=["beta_1"]) == {"beta_1": 0.125}


@pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="not in this Keras")
@pytest.mark.parametrize("names", [("a", "b"), ("a", "a")])
def test_multi_optimizer(names, problem):
    first, second = SGD(0.25, name=names[0]), SGD(halves, name=names[1])
    chosen = keras.optimizers.OptimizerMap(second, {".*kernel": first})
    history = problem.fit(
        problem.model(keras.optimizers.MultiOptimizer(chosen)), [HyperparameterLogger()]
    )
    keys = [f"learning_rate_{name}" for name in names]
    if names[0] == names[1]:
        keys = [f"{key}_{i}" for i, key in enumerate(keys)]
    assert [history[key] for key in keys] == [[0.25, 0.25], [0.25, 0.125]]
    assert "learning_rate" not in history


def test_history_and_files_have_it(problem, tmp_path):
    file = tmp_path / "log.csv"
    callbacks = [HyperparameterLogger(), keras.callbacks.CSVLogger(str(file))]
    history = problem.fit(problem.model(SGD(halves)), callbacks)
    assert history["learning_rate"] == [0.25, 0.125]  # the rate of the next update
    with file.open() as lines:
        assert [float(row["learning_rate"]) for row in csv.DictReader(lines)] == [0.25, 0.125]


def test_what_is_in_the_logs_stays():
    logger = HyperparameterLogger(["momentum"])
    logger.set_model(keras.Model())
    logger.model.optimizer = SGD(0.1)
    logs = {"momentum": "a metric of that name"}
    logger.on_epoch_end(0, logs)
    assert logs == {"momentum": "a metric of that name"}
    logger.on_epoch_end(0)


def test_every_batch(problem):
    class Reader(Callback):
        def __init__(self):
            super().__init__()
            self.rates = []

        def on_train_batch_end(self, batch, logs=None):
            self.rates.append(logs.get("learning_rate"))

    reader = Reader()
    rate = ExponentialDecay(1.0, 1, 0.5)
    problem.fit(problem.model(SGD(rate)), [HyperparameterLogger(every="batch"), reader], 1)
    assert reader.rates == [0.5, 0.25, 0.125, 0.0625]
    reader.rates.clear()
    problem.fit(problem.model(SGD(rate)), [HyperparameterLogger(), reader], 1)
    assert reader.rates == [None] * 4


def test_names_and_their_configuration():
    logger = HyperparameterLogger(["learning_rate", "nesterov"], every="batch")
    assert HyperparameterLogger.from_config(logger.get_config()).get_config() == {
        "names": ["learning_rate", "nesterov"],
        "every": "batch",
    }
    assert logged(SGD(0.25), names=("learning_rate", "nesterov")) == {
        "learning_rate": 0.25,
        "nesterov": 0.0,
    }


@pytest.mark.parametrize(
    "arguments", [{"names": "learning_rate"}, {"names": [1]}, {"every": 0}, {"every": "now"}]
)
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match=f"Argument `{next(iter(arguments))}` must be"):
        HyperparameterLogger(**arguments)


def test_a_name_that_the_optimizer_lacks(problem):
    with pytest.raises(ValueError, match=r"it has no learning_rat, betta\..*`learning_rate`"):
        problem.fit(problem.model(), [HyperparameterLogger(["learning_rat", "momentum", "betta"])])
