"""Comparing the same strategies on several tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_gdx.arguments import check, check_type, needs_matplotlib
from keras_gdx.callbacks._lib.argument_types import Folder
from keras_gdx.comparison.experiment import compare
from keras_gdx.comparison.plots import draw_profile, drawn
from keras_gdx.comparison.profile import Profile, profile
from keras_gdx.comparison.result import Comparison
from keras_gdx.comparison.rows import Table
from keras_gdx.report.markup import Row, element, table
from keras_gdx.report.notebook import notebook

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Comparisons", "compare_many"]


def compare_many(
    tasks: Mapping[str, Mapping[str, Any]], *, resume: Folder | None = None, **common: Any
) -> Comparisons:
    """Compares the same strategies on several tasks, to see which is good in general.

    Each task is a `keras_gdx.compare` of its own, with its own verdict.

    Args:
        tasks: For each task, arguments of `keras_gdx.compare`: `build`, `data`, `loss`, and others
            in which it differs. Its strategies may have other arguments, but not other names.
        resume: Path of a folder for the runs, in which each task has a folder of its name.
        **common: Arguments of `keras_gdx.compare` for all tasks, which a task's own replace.

    Returns:
        A `Comparisons`: `print` it.

    Raises:
        ValueError: If an argument cannot be used, or the strategies have not the same names.
        ImportError: If SciPy is missing; install `keras_gdx[compare]`.

    Example:
        >>> import keras, keras_gdx, numpy as np
        >>> x = np.random.default_rng(0).normal(size=(100, 4)).astype("float32")
        >>> def build():
        ...     return keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> found = keras_gdx.compare_many(
        ...     {
        ...         "sum": {"build": build, "data": (x, x.sum(1))},
        ...         "largest": {"build": build, "data": (x, x.max(1)), "target": 0.5},
        ...     },
        ...     strategies={"adam": "adam", "sgd": "sgd"}, loss="mse",
        ...     budget=keras_gdx.Budget(steps=10), evaluations=2, seeds=2, max_seeds=2,
        ...     workers=0, verbose=0,
        ... )
        >>> [*found.tasks], len(found["sum"].runs)
        (['sum', 'largest'], 4)
    """
    valid = isinstance(tasks, Mapping) and all(isinstance(x, Mapping) for x in tasks.values())
    check(valid, "tasks", tasks, "a dictionary of names and arguments of `compare`")
    names = [sorted({**common, **task}.get("strategies") or []) for task in tasks.values()]
    _check_same(names)
    check_type("resume", resume, Folder | None)
    folders = {name: Path(resume, name) if resume else None for name in tasks}
    return Comparisons(
        {
            name: compare(**{**common, **task, "resume": folders[name]})
            for name, task in tasks.items()
        }
    )


def _check_same(names: list[list[str]]) -> None:
    """Refuses strategies that differ between tasks."""
    same = bool(names) and all(each == names[0] for each in names)
    check(same, "tasks", names, "comparisons of the same strategies")


class Comparisons:
    """What comparisons of the same strategies on several tasks have found.

    Scores of different tasks have no common unit, but times have: each strategy's median time until
    it reaches the target of a task, as a multiple of the fastest strategy's. By default, the target
    is the score with which the second best strategy ends.

    Args:
        tasks: A `Comparison` for each task, by name.

    Attributes:
        tasks: The same.

    Raises:
        ValueError: If there is no task, or the strategies are not the same.
    """

    def __init__(self, tasks: Mapping[str, Comparison]):
        self.tasks = dict(tasks)
        _check_same([sorted(each.strategies) for each in self.tasks.values()])

    def __getitem__(self, task: str) -> Comparison:
        return self.tasks[task]

    def times(self) -> dict[str, list[float]]:
        """The median time of each strategy to the target of each task; infinite if not reached."""
        names = next(iter(self.tasks.values())).settings.strategies
        return {name: [each.time(name) for each in self.tasks.values()] for name in names}

    def profile(self) -> Profile:
        """How often each strategy is nearly the fastest: the share of tasks by the factor."""
        return profile(self.times())

    def slowdowns(self) -> dict[str, float]:
        """The geometric mean of each strategy's times as multiples of the fastest one's.

        A task that no strategy solves is left out; one that only others solve makes it infinite.
        """
        times = self.times()
        table = np.array(list(times.values()))
        solved = table[:, np.isfinite(table.min(0))]
        means = np.exp(np.log(solved / solved.min(0)).mean(1)) if solved.size else table[:, 0]
        return dict(zip(times, means.tolist(), strict=True))

    @property
    def table(self) -> Table:
        """One row for each strategy: the best profile first."""
        scores, slowdowns, times = self.profile().scores, self.slowdowns(), self.times()
        rows: list[Row] = [
            {
                "strategy": name,
                "profile": score,
                "slowdown": slowdowns[name],
                "best on": ", ".join(self._best_on(name)) or "none",
                "targets reached": sum(map(math.isfinite, times[name])),
            }
            for name, score in scores.items()
        ]
        return Table(sorted(rows, key=lambda row: -row["profile"]))

    def _best_on(self, name: str) -> list[str]:
        return [task for task, each in self.tasks.items() if each.decision.best == name]

    @property
    def verdict(self) -> str:
        """The verdict of each task, a line each."""
        return "\n".join(f"{name}: {each.verdict}" for name, each in self.tasks.items())

    def __str__(self) -> str:
        return f"{self.verdict}\n\n{self.table}"

    def __repr__(self) -> str:
        return f"<Comparisons on {', '.join(self.tasks)}>"

    def _repr_html_(self) -> str:
        """The verdict of each task, and the table."""
        lines = [element("p", line) for line in self.verdict.splitlines()]
        return notebook(*lines, table("All tasks, the best profile first", self.table))

    def plot(self, axes: Axes | None = None) -> Figure | None:
        """Draws the profile with matplotlib.

        Args:
            axes: The axes to draw on; those of a new figure if `None`.

        Returns:
            The new `matplotlib.figure.Figure`, which a notebook shows; `None` if `axes` is given.

        Raises:
            ImportError: If matplotlib is missing; install `keras_gdx[report]`.
        """
        needs_matplotlib("Comparisons.plot")
        title = f"How soon targets are reached\nn = {len(self.tasks)} tasks"
        return drawn(partial(draw_profile, self.profile(), title, "share of tasks"), axes)
