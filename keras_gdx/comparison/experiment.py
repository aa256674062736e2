"""Chooses among ways to train by experiment."""

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
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
from keras_gdx.callbacks._lib.argument_types import Folder, Verbosity
from keras_gdx.callbacks._lib.say import say
from keras_gdx.comparison.budget import Budget
from keras_gdx.comparison.encoding import resolve
from keras_gdx.comparison.journal import Journal, read_settings
from keras_gdx.comparison.plan import plan
from keras_gdx.comparison.result import Comparison
from keras_gdx.comparison.run import Run
from keras_gdx.comparison.settings import Search, Settings
from keras_gdx.comparison.statistics import needs_scipy
from keras_gdx.comparison.strategies import Strategy
from keras_gdx.comparison.workers import Here, Pool
from keras_gdx.report.markup import said
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
    target: float | str | None = None,
    test: Any = None,
    workers: Workers = "auto",
    timeout: PositiveFloat | None = None,
    resume: Folder | None = None,
    verbose: Verbosity = 1,
) -> Comparison:
    """Trains a model in several ways, on equal terms, and says which is best, if one is.

    A strategy is an optimizer with everything that belongs to it: its arguments, its schedules,
    callbacks and a batch size. First, values are searched for each strategy that leaves some open.
    Then the best values of each are trained again, from seeds that the search has not seen, and
    these runs are compared. While that decides nothing, further seeds are added.

    Every strategy gets the same number of trials, every run the same budget, and runs with the same
    seed have the same initial weights and the same batches in the same order. A run that crashes,
    diverges or takes too long costs only itself, and counts as infinitely bad.

    Runs are made by other processes, which import `build`, `data` and other functions by their
    names: these must be at the top level of a module, or of a program that calls `compare` under
    `if __name__ == "__main__":`. With `workers=0` everything runs in this process, and functions
    may be of any kind; Keras' session is cleared and its seed is set for every run.

    Every run is a file in `resume`. After an interruption, call `compare` again with the same
    arguments. If a budget is in steps or examples, the result is that of an uninterrupted call. To
    use several machines, run the same program on each, or `keras_gdx.comparison.join`, with a
    folder that all of them see.

    Args:
        build: Function without arguments that returns a model with its weights, or its name as
            `"module:function"`. The model is compiled by `compare`.
        data: `(x, y)` as arrays, of which a fifth is split off for validation, `((x, y), (x, y))`,
            or a pair of `tf.data` datasets, each with sample weights if you like; or a function
            that returns one of these, or its name. Datasets need a function, which is called for
            every run, so that they shuffle by its seed.
        strategies: Dictionary of names and strategies. A strategy is the name of an optimizer, a
            Keras optimizer, a function that returns one, or a dictionary of: `optimizer`, one of
            these; arguments of `keras_gdx.create`, or of the function; `batch_size`, if another;
            and `callbacks`, a function that returns a list of them. A `Uniform`, a `LogUniform` or
            a list, of which one element is chosen, leaves an argument open. A dictionary with a
            `schedule` is the schedule that `schedules.create` returns: `{"schedule": "cosine",
            "learning_rate": LogUniform(1e-4, 1e-2)}`. With `recommend(model).space`, the result
            says how good the recommendation was.
        budget: A `Budget`: what each run may use.
        loss: For `compile`.
        metric: What decides: `"val_loss"`, or the name of a metric with `val_` before it.
        mode: Whether lower (`"min"`) or higher (`"max"`) is better; `"auto"`: by the name.
        batch_size: Integer >= 1, examples in a batch. Datasets have their own.
        evaluations: Integer >= 1: validations in each run, at even intervals. The last one counts.
            An interval is an epoch of `fit`, and has whole steps: the budget is rounded to that.
        trials: Integer >= 1: trials of each strategy that leaves something open.
        search: How values are chosen: `"halton"` covers the space evenly (with few choices, it
            tries all), `"grid"` has at most `trials` points, `"tpe"` learns from earlier trials,
            with Optuna.
        search_seed: Integer >= 0: the seed of all trials. The seeds that report come after it.
        prune: `"asha"`: a trial ends at 1/9 and 1/3 of its budget, unless it is among the best
            third of those before it.
        seeds: Integer >= 1: runs of each strategy that report.
        max_seeds: Integer >= `seeds`: their maximum, while it is not decided which is best.
        margin: Number >= 0: a difference that is too small to matter, in the metric's units.
        target: Value of the metric, or the name of the strategy whose median score it is; the time
            until it is reached is compared as well.
        test: Data that is evaluated at the end of the runs that report, and decides nothing; in the
            form of a pair in `data`.
        workers: Integer >= 0, the number of processes. `"auto"`: half as many as there are cores;
            one if there is a GPU, or the budget is a time or an energy, which would be shared.
        timeout: Number > 0: seconds after which a run is ended. `None`: never.
        resume: Path of a folder for the runs. `None`: a temporary one.
        verbose: 1 to print a line after every run, 0 to print nothing.

    Returns:
        A `Comparison`: `print` it.

    Raises:
        ValueError: If an argument cannot be used, or `resume` has a comparison with others.
        ImportError: If SciPy, or Optuna for its search, is missing: install `keras_gdx[compare]`.

    Example:
        >>> import keras, keras_gdx, numpy as np
        >>> x = np.random.default_rng(0).normal(size=(100, 4)).astype("float32")
        >>> y = x[:, :1] - x[:, 1:2]
        >>> def build():
        ...     return keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> rate = keras_gdx.LogUniform(1e-3, 1e-1)
        >>> comparison = keras_gdx.compare(
        ...     build,
        ...     (x, y),
        ...     {"adamw": {"optimizer": "adamw", "learning_rate": rate}, "fixed": "sgd"},
        ...     budget=keras_gdx.Budget(steps=10), loss="mse", evaluations=2,
        ...     trials=2, seeds=2, max_seeds=2, workers=0, verbose=0,
        ... )
        >>> [(run.strategy, run.seed) for run in comparison.runs if run.phase == "final"]
        [('adamw', 1), ('fixed', 1), ('adamw', 2), ('fixed', 2)]
    """
    needs_scipy()
    valid = isinstance(strategies, Mapping) and len(strategies) > 0
    check(valid, "strategies", strategies, "a dictionary of names and strategies")
    function = callable(build) and not isinstance(build, keras.Model)
    valid = function or isinstance(build, str)
    check(valid, "build", build, "a function that returns a new model, or its name")
    check(loss is not None, "loss", loss, "a loss for `compile`")
    check_type("resume", resume, Folder | None)
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
        return _work(journal, workers, timeout, verbose)


def join(
    folder: Folder,
    *,
    workers: Workers = "auto",
    timeout: PositiveFloat | None = None,
    verbose: Verbosity = 1,
) -> Comparison:
    """Takes part in a comparison that another program, on this or another machine, has begun.

    It returns when all runs are made, by whichever program. Those of a program that was killed are
    made by the others, half a minute later if it ran on another machine. Functions that the
    comparison uses are imported by their names, so they must not be in the main program.

    Args:
        folder: The folder that `compare` was given as `resume`.
        workers: See `compare`, as for the others.
        timeout: Number > 0, seconds, or `None`.
        verbose: 1 or 0.

    Returns:
        The `Comparison`.

    Raises:
        FileNotFoundError: If there is no comparison in the folder.
        ValueError: If this program cannot find its functions.
    """
    with Journal(folder, read_settings(folder)) as journal:
        return _work(journal, workers, timeout, verbose)


def _work(
    journal: Journal, workers: Workers, timeout: float | None, verbose: Verbosity
) -> Comparison:
    """Makes the runs that are missing, beside other programs that do so too."""
    settings = journal.settings
    with _pool(journal, workers, timeout) as pool:
        while tasks := plan(settings, journal.runs()):
            for task in tasks:
                if pool.is_free and journal.lease(task):
                    pool.start(task)
            for run in pool.finished():
                journal.write(run)
                if verbose:
                    say(_line(run, settings.metric))
    return Comparison(journal.runs(), settings)


def _line(run: Run, metric: str) -> str:
    """What has come out, in one line."""
    what = f"trial {run.trial}" if run.phase == "search" else f"seed {run.seed}"
    values = "".join(f", {name} {said(value)}" for name, value in run.values.items())
    found = f"{metric} {said(run.score)}" if run.status == "completed" else run.status
    return f"{run.strategy}, {what}{values}: {found}{f' ({run.message})' if run.message else ''}"


def _pool(journal: Journal, workers: Workers, timeout: float | None) -> Here | Pool:
    check_type("workers", workers, Workers)
    check_type("timeout", timeout, PositiveFloat | None)
    allowed = "None with workers=0: only another process can be ended"
    check(workers != 0 or timeout is None, "timeout", timeout, allowed)
    if workers == 0:
        return Here(journal.settings)
    read_settings(journal.folder)  # raises if another process could not read it
    count = _for_all_cores(journal.settings) if workers == "auto" else workers
    return Pool(journal.settings, str(journal.folder), count, timeout)


def _for_all_cores(settings: Settings) -> int:
    """The number of processes that use the machine well without disturbing each other."""
    alone = not settings.budget.is_counted or _may_have_gpu()
    return 1 if alone else max(1, (os.cpu_count() or 1) // 2)


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
