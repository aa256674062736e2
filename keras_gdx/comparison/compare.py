"""Chooses among ways to train by experiment."""

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from os import PathLike
from tempfile import TemporaryDirectory
from typing import Any, Literal

import keras

from keras_gdx.arguments import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    check,
    check_type,
)
from keras_gdx.comparison.budget import Budget
from keras_gdx.comparison.encoding import resolve
from keras_gdx.comparison.journal import Journal, read_settings
from keras_gdx.comparison.plan import plan
from keras_gdx.comparison.result import Comparison
from keras_gdx.comparison.settings import Search, Settings
from keras_gdx.comparison.strategies import Strategy
from keras_gdx.comparison.workers import Here, Pool
from keras_gdx.report.metrics import direction

__all__ = ["compare", "join"]

Workers = Literal["auto"] | NonNegativeInt


def compare(
    build: Callable[[], keras.Model] | str,
    data: Any,
    strategies: Mapping[str, Any],
    *,
    budget: Budget,
    loss: Any,
    metric: str = "val_loss",
    mode: Literal["auto", "min", "max"] = "auto",
    batch_size: PositiveInt = 32,
    evaluations: PositiveInt = 10,
    trials: PositiveInt = 8,
    search: Search = "halton",
    search_seed: NonNegativeInt = 0,
    prune: Literal["asha"] | None = None,
    seeds: PositiveInt = 5,
    max_seeds: PositiveInt = 10,
    margin: NonNegativeFloat | None = None,
    target: float | None = None,
    test: Any = None,
    workers: Workers = "auto",
    timeout: PositiveFloat | None = None,
    resume: str | PathLike[str] | None = None,
) -> Comparison:
    """Trains a model in several ways, on equal terms, and says which of them is best, if any is.

    TODO
    """
    settings = Settings(
        build=resolve(build) if isinstance(build, str) else build,
        data=resolve(data) if isinstance(data, str) else data,
        test=resolve(test) if isinstance(test, str) else test,
        strategies={name: Strategy.of(name, given) for name, given in strategies.items()},
        loss=loss,
        metric=metric,
        mode=_mode(metric, mode),
        budget=budget,
        batch_size=batch_size,
        evaluations=evaluations,
        trials=trials,
        search=search,
        search_seed=search_seed,
        prune=prune,
        seeds=seeds,
        max_seeds=max_seeds,
        margin=margin,
        target=target,
    )
    with ExitStack() as stack:
        folder = resume or stack.enter_context(TemporaryDirectory())
        journal = stack.enter_context(Journal(folder, settings))
        return _work(journal, workers, timeout)


def join(
    folder: str | PathLike[str], *, workers: Workers = "auto", timeout: PositiveFloat | None = None
) -> Comparison:
    """Takes part in a comparison that another process, on this or another machine, has begun.

    TODO
    """
    with Journal(folder, read_settings(folder)) as journal:
        return _work(journal, workers, timeout)


def _work(journal: Journal, workers: Workers, timeout: float | None) -> Comparison:
    """Makes the runs that are missing, beside other programs that do so too."""
    settings = journal.settings
    with _pool(journal, workers, timeout) as pool:
        while tasks := plan(settings, journal.runs()):
            for task in tasks:
                if pool.is_free and journal.lease(task):
                    pool.start(task)
            for run in pool.finished():
                journal.write(run)
    return Comparison(journal.runs(), settings)


def _pool(journal: Journal, workers: Workers, timeout: float | None) -> Here | Pool:
    check_type("workers", workers, Workers)
    check_type("timeout", timeout, PositiveFloat | None)
    allowed = "None with workers=0: only another process can be ended"
    check(workers != 0 or timeout is None, "timeout", timeout, allowed)
    if workers == 0:
        return Here(journal.settings)
    read_settings(journal.folder)  # raises if another process could not read it
    if workers == "auto":
        alone = not journal.settings.budget.is_counted or _may_have_gpu()
        workers = 1 if alone else max(1, (os.cpu_count() or 1) // 2)
    return Pool(journal.settings, str(journal.folder), workers, timeout)


def _mode(metric: str, mode: str) -> Any:
    found = direction(metric) if mode == "auto" else mode
    check(found, "mode", mode, f"'min' or 'max', because {metric!r} does not tell which is better")
    return found


def _may_have_gpu() -> bool:
    """Whether there is a GPU, or may be; looking for one must not occupy it."""
    if keras.backend.backend() != "tensorflow":
        return True
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
