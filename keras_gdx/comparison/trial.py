"""One training run of a comparison."""

import math
import time
from dataclasses import replace
from typing import Any

import keras

from keras_gdx.arguments import check, check_name
from keras_gdx.callbacks._lib.energy import Counters
from keras_gdx.comparison.data import Data, Source, evaluate
from keras_gdx.comparison.plan import Task
from keras_gdx.comparison.run import Evaluation, Run, Status
from keras_gdx.comparison.search import propose
from keras_gdx.comparison.settings import Settings
from keras_gdx.engine.state.state import size_of
from keras_gdx.schedules.create import plans_of

EVALUATION_BATCH = 256
WATTS_PER_CORE = 10.0


class Trainer:
    """Makes the runs of a comparison in this process, one after the other.

    Args:
        settings: The settings of the comparison.

    Raises:
        ValueError: If the model, the data or a strategy cannot be created.
    """

    def __init__(self, settings: Settings):
        self.settings = settings
        self._source = Source(settings.data)
        self._check()

    def _check(self) -> None:
        """Creates everything once, so that a mistake shows at once."""
        settings = self.settings
        model = _fresh(settings, settings.search_seed)
        model.compile(loss=settings.loss, metrics=_metrics(settings))
        data = self._source.load()
        found = evaluate(model, data.few)
        names = sorted(f"val_{name}" for name in found)
        check_name("metric", settings.metric, names)
        for name, strategy in settings.strategies.items():
            values = next(iter(propose(settings, strategy.space, [], 1)), {})
            try:
                built = strategy.build(values, model)
            except Exception as error:
                raise ValueError(f"strategies[{name!r}] cannot be created: {error}") from error
            own = not (data.is_stream and built.batch_size)
            check(own, "batch_size", built.batch_size, "that of the dataset, so not given here")
            planned = any(True for _ in plans_of(built.optimizer))
            allowed = (
                f"in steps or examples, because a schedule of {name!r} gets its length from `fit`"
            )
            check(settings.budget.is_counted or not planned, "budget", settings.budget, allowed)

    def run(self, task: Task) -> Run:
        """Trains; an exception costs this run only."""
        try:
            return self._train(task)
        except Exception as error:
            return unmeasured(self.settings, task, "crashed", f"{type(error).__name__}: {error}")

    def _train(self, task: Task) -> Run:
        settings = self.settings
        model = _fresh(settings, task.seed)
        data = self._source.load()
        built = settings.strategies[task.strategy].build(task.values, model)
        batch_size = data.batch_size(built.batch_size or settings.batch_size)
        model.compile(built.optimizer, settings.loss, metrics=_metrics(settings))
        evaluations, steps = _intervals(settings, batch_size)
        meter = Meter(settings, task, evaluations)
        keras.utils.set_random_seed(task.seed)  # whatever a strategy has drawn until here
        model.fit(
            data.batches(batch_size, task.seed),
            epochs=evaluations,
            steps_per_epoch=steps,
            validation_data=data.validation,
            validation_batch_size=_evaluation_batch(data),
            callbacks=[meter, *built.callbacks],
            shuffle=False,
            verbose=0,
        )
        test = None
        if settings.test is not None and task.phase == "final" and meter.status == "completed":
            given = settings.test() if callable(settings.test) else settings.test
            test = float(evaluate(model, given)[settings.metric.removeprefix("val_")])
        return meter.result(built.optimizer, test)


class Meter(keras.callbacks.Callback):
    """Measures a run, and ends it when its budget is used up or there is nothing to hope for.

    An epoch of `fit` is the time between two evaluations. Without a number of steps it ends when
    its part of the budget is used up.
    """

    def __init__(self, settings: Settings, task: Task, evaluations: int):
        super().__init__()
        self._settings = settings
        self._task = task
        self._part = settings.budget.amount / evaluations
        self._counters = Counters(WATTS_PER_CORE)
        self._is_over = False  # the part of the budget for this epoch
        self._since: float | None = None
        self._before = 0.0
        self.status: Status = "completed"
        self.message = ""
        self.curve: list[Evaluation] = []
        self.steps = 0
        self.seconds = 0.0
        self.joules = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Continues the clock, which stands still during evaluations."""
        if self.steps:
            self._start()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Counts; ends the epoch when its part of a time or an energy is used up."""
        self.steps += 1
        if self._since is None:  # the first step, which compiles
            self._start()
            return
        self.seconds = self._before + time.perf_counter() - self._since
        unit = self._settings.budget.unit
        if unit == "joules":
            self._read_energy()
        if unit in ("seconds", "joules"):
            self._is_over = getattr(self, unit) >= self._part * (len(self.curve) + 1)
            self.model.stop_training |= self._is_over

    def on_test_begin(self, logs: Any = None) -> None:
        """Ends the measurement of energy before an evaluation."""
        self._read_energy()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Judges the run by an evaluation."""
        if self._is_over:
            self.model.stop_training = self._is_over = False
        logs, name = logs or {}, self._settings.metric
        value = float(logs[name])
        self.curve.append(Evaluation(self.steps, self.seconds, value))
        bar = self._task.bars.get(len(self.curve))
        if not all(math.isfinite(x) for x in (value, logs["val_loss"])):
            self._end("diverged", f"{name} is {value:g} after {self.steps} steps")
        elif bar is not None and self._settings.is_better(bar, value):
            self._end("pruned", f"{name} is {value:g} after {self.steps} steps; needed: {bar:g}")

    def result(self, optimizer: Any, test: float | None) -> Run:
        """The record of the run."""
        blank = unmeasured(self._settings, self._task, self.status, self.message)
        return replace(
            blank,
            score=self.curve[-1].value if self.status == "completed" else blank.score,
            curve=tuple(self.curve),
            steps=self.steps,
            seconds=self.seconds,
            state_bytes=sum(
                math.prod(v.shape) * size_of(v.dtype) for v in optimizer.variables if v.shape
            ),
            joules=self.joules,
            test=test,
        )

    def _start(self) -> None:
        self._before, self._since = self.seconds, time.perf_counter()
        self._counters.joules()  # what was used until here does not count

    def _read_energy(self) -> None:
        self.joules += sum(self._counters.joules().values())

    def _end(self, status: Status, message: str) -> None:
        self.status, self.message = status, message
        self.model.stop_training = True


def unmeasured(settings: Settings, task: Task, status: Status, message: str) -> Run:
    """The record of a run that has nothing to tell, with the score of one that failed."""
    return Run(
        strategy=task.strategy,
        phase=task.phase,
        trial=task.trial,
        seed=task.seed,
        values=dict(task.values),
        status=status,
        score=settings.worst,
        curve=(),
        steps=0,
        seconds=0.0,
        state_bytes=0,
        message=message,
    )


def _fresh(settings: Settings, seed: int) -> Any:
    """A new model, whose weights depend on the seed alone."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = settings.build()
    allowed = "a function that returns a Keras model with its weights"
    check(isinstance(model, keras.Model) and model.built, "build", settings.build, allowed)
    return model


def _metrics(settings: Settings) -> list[str]:
    name = settings.metric.removeprefix("val_")
    return [] if name == "loss" else [name]


def _intervals(settings: Settings, batch_size: int) -> tuple[int, int]:
    """The number of evaluations, and of steps between two of them."""
    if not settings.budget.is_counted:
        return settings.evaluations, 2**31 - 1
    steps = settings.budget.steps_with(batch_size)
    evaluations = min(settings.evaluations, steps)
    return evaluations, round(steps / evaluations)


def _evaluation_batch(data: Data) -> int | None:
    return None if hasattr(data.validation, "element_spec") else EVALUATION_BATCH
