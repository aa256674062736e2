"""The result of comparing the same strategies on several tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from keras_gdx.arguments import check, needs_matplotlib
from keras_gdx.comparison.plots import draw_profile, drawn
from keras_gdx.comparison.profile import Profile, profile
from keras_gdx.comparison.result import Comparison
from keras_gdx.comparison.rows import Table
from keras_gdx.report.markup import Row, element, table
from keras_gdx.report.notebook import notebook

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Comparisons"]


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
        names = [sorted(each.strategies) for each in self.tasks.values()]
        same = bool(names) and all(each == names[0] for each in names)
        check(same, "tasks", names, "comparisons of the same strategies")

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
