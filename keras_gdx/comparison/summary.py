"""What the runs of one strategy say."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal, NamedTuple

import keras
import numpy as np

from keras_gdx.arguments import is_number
from keras_gdx.comparison.run import Run
from keras_gdx.comparison.scale import Scale
from keras_gdx.comparison.statistics import median_time, t_interval
from keras_gdx.comparison.strategies import Built, Strategy
from keras_gdx.report.markup import said

FEWEST_TRIED = 3  # of fewer values, the best one is always at an edge


class Edge(NamedTuple):
    """A value that is at an edge of those tried, so that a better one may be beyond it.

    Attributes:
        strategy: The strategy's name.
        argument: The argument's name.
        value: The value.
        side: Whether it is the lowest or the highest value tried.
        tried: The number of values tried.
    """

    strategy: str
    argument: str
    value: float
    side: Literal["lowest", "highest"]
    tried: int

    def __str__(self) -> str:
        return (
            f"The best {self.argument} of {self.strategy}, {said(self.value)}, is the {self.side} "
            f"of {self.tried} tried: a better one may be beyond it."
        )


@dataclass(frozen=True)
class StrategySummary:
    """What the runs of one strategy say.

    Attributes:
        strategy: The strategy.
        trials: The runs of the search.
        finals: The runs that report.
        scale: The scale of the mean.
    """

    strategy: Strategy
    trials: tuple[Run, ...]
    finals: tuple[Run, ...]
    scale: Scale

    @property
    def name(self) -> str:
        """The strategy's name."""
        return self.strategy.name

    @property
    def values(self) -> dict[str, Any]:
        """The values that the search has chosen."""
        return dict(self.finals[0].values) if self.finals else {}

    def build(self, model: keras.Model | None = None) -> Built:
        """Creates what the strategy trains with: a new optimizer, callbacks and batch size.

        Args:
            model: The built model to train.

        Raises:
            ValueError: If no trial was completed, so that no values were chosen.
        """
        if self.strategy.space and not self.finals:
            raise ValueError(f"No trial of {self.name!r} was completed: there are no values.")
        return self.strategy.build(self.values, model)

    # -- the runs that report ----------------------------------------------------------------

    @property
    def completed(self) -> list[Run]:
        """The runs that report and were completed."""
        return [run for run in self.finals if run.status == "completed"]

    @property
    def failures(self) -> Counter[str]:
        """How many runs that report failed, by how."""
        return Counter(run.status for run in self.finals if run.status != "completed")

    @property
    def score(self) -> float:
        """The mean score of completed runs; for positive losses the geometric mean."""
        points = self.scale.to([run.score for run in self.completed])
        return float(self.scale.back(np.mean(points))) if self.completed else math.nan

    def interval(self, level: float) -> tuple[float, float]:
        """Student's interval of the mean score, with confidence 1 - `level`."""
        if not self.completed:
            return math.nan, math.nan
        points = self.scale.to([run.score for run in self.completed])
        low, high = sorted(float(self.scale.back(x)) for x in t_interval(points, level))
        return low, high

    @property
    def test(self) -> float | None:
        """The mean of the metric on the test data."""
        return mean([run.test for run in self.completed])

    @property
    def seconds(self) -> float | None:
        """The mean training time of a completed run."""
        return mean([run.seconds for run in self.completed])

    @property
    def joules(self) -> float | None:
        """The mean energy of a completed run; `None` if it is not known of each."""
        return mean([run.joules for run in self.completed])

    @property
    def state_bytes(self) -> int | None:
        """The size of the optimizer's state."""
        return max((run.state_bytes for run in self.completed), default=None)

    @property
    def total_seconds(self) -> float:
        """The training time of all runs, those of the search included: the cost."""
        return sum(run.seconds for run in (*self.trials, *self.finals))

    def times(self, target: float, unit: Literal["step", "seconds"]) -> list[float]:
        """When each run that reports first reached the target; infinite if it did not.

        Args:
            target: Value of the metric.
            unit: Of the times.
        """
        return [_reached(run, target, self.scale, unit) for run in self.finals]

    def time(self, target: float, unit: Literal["step", "seconds"]) -> float:
        """The median time to the target, infinite if fewer than half of the runs reach it.

        Runs that were completed or timed out before it are censored at their end; others that
        failed would never have reached it.
        """
        times = self.times(target, unit)
        reached = [math.isfinite(time) for time in times]
        ends = [getattr(run.curve[-1], unit) if run.curve else 0.0 for run in self.finals]
        never = max([*ends, 0.0])
        given = [
            time if hit else end if run.status in ("completed", "timed out") else never
            for time, hit, end, run in zip(times, reached, ends, self.finals, strict=True)
        ]
        return median_time(given, reached)

    # -- the search --------------------------------------------------------------------------

    @property
    def search_score(self) -> float | None:
        """The best score of the search, which is too good: it was chosen for being the best."""
        found = [run.score for run in self.trials if run.status == "completed"]
        return min(found, key=self.scale.to) if found else None

    @property
    def edges(self) -> list[Edge]:
        """The chosen numbers that are the lowest or highest tried."""
        found = []
        for argument, value in self.values.items():
            tried = sorted({r.values[argument] for r in self.trials if _is_real(r, argument)})
            if len(tried) < FEWEST_TRIED or not is_number(value) or value == 0:
                continue
            if value == tried[0]:
                found.append(Edge(self.name, argument, value, "lowest", len(tried)))
            if value == tried[-1]:
                found.append(Edge(self.name, argument, value, "highest", len(tried)))
        return found


def _is_real(run: Run, argument: str) -> bool:
    return is_number(run.values.get(argument))


def _reached(run: Run, target: float, scale: Scale, unit: Literal["step", "seconds"]) -> float:
    goal = scale.sign * target
    for each in run.curve:
        if scale.sign * each.value <= goal:
            return float(getattr(each, unit))
    return math.inf


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of numbers; `None` if there are none, or not each is known."""
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None
