"""The result of a comparison."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from functools import cached_property, partial
from math import inf
from os import PathLike
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from keras_gdx.arguments import (
    NonNegativeFloat,
    check,
    check_type,
    has_matplotlib,
    needs_matplotlib,
)
from keras_gdx.comparison.advice import Advice
from keras_gdx.comparison.decision import LEVEL, Decision, decide
from keras_gdx.comparison.difference import Difference
from keras_gdx.comparison.html import page
from keras_gdx.comparison.page_charts import charts
from keras_gdx.comparison.plots import drawn, plot
from keras_gdx.comparison.profile import Profile, profile
from keras_gdx.comparison.rows import Table, advice_rows, cost_rows, number_rows, score_rows
from keras_gdx.comparison.run import Run
from keras_gdx.comparison.scale import scale_of
from keras_gdx.comparison.search import best_trial
from keras_gdx.comparison.settings import Settings
from keras_gdx.comparison.statistics import level_for_looks, needs_scipy
from keras_gdx.comparison.storage import decoded, encoded, write_text
from keras_gdx.comparison.summary import Edge, StrategySummary
from keras_gdx.comparison.verdict import sentences
from keras_gdx.report.markup import Row, element, table
from keras_gdx.report.notebook import notebook

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Comparison"]

PlotKind = Literal["curves", "rate", "differences", "profile", "budget"]
What = Literal["strategies", "runs", "curves"]


class Comparison:
    """What `keras_gdx.compare` has found: a verdict, and everything that it stands on.

    `print(comparison)` shows the verdict and tables; `comparison.report("compare.html")` writes a
    page; `comparison.best` is the best strategy, or `None` if that is not decided.

    A strategy is better than another one if Student's paired t test says so at 5 %, over the seeds
    that both have run with. The p values are adjusted for the number of strategies, for the choice
    of the leader by the same scores, and for the decisions while seeds were added: in one
    experiment in twenty at most, a strategy is found worse that is as good as the best. Positive
    scores of which lower is better, such as losses, are compared by their logarithms, and
    differences said in the metric's units. With a `margin`, a strategy is better if the margin is
    exceeded, and two are equal in practice if it is not. A strategy of which a run fails cannot be
    best if another one has no failure.

    Args:
        runs: The runs, each a `Run`.
        settings: The arguments of `keras_gdx.compare`.

    Attributes:
        runs: All runs, a tuple of `Run`: those of the search and those that report.
        settings: The arguments of `keras_gdx.compare`.

    Raises:
        ImportError: If SciPy is missing; install `keras_gdx[compare]`.
    """

    def __init__(self, runs: Iterable[Run], settings: Settings):
        needs_scipy()
        self.runs = tuple(runs)
        self.settings = settings

    # -- the decision ------------------------------------------------------------------------

    @cached_property
    def decision(self) -> Decision:
        """The leader, and how it compares with each other strategy."""
        scores = {
            name: {r.seed: r.score for r in self._finals_of(name)}
            for name in self.settings.strategies
        }
        given = self.settings
        return decide(scores, given.mode, given.margin or 0.0, given.seeds, given.max_seeds)

    @cached_property
    def strategies(self) -> dict[str, StrategySummary]:
        """The strategies by name: the leader first, then the others as they follow it."""
        order = [self.decision.leader, *(duel.other for duel in self.decision.duels)]
        names = [name for name in order if name] or [*self.settings.strategies]
        return {
            name: StrategySummary(
                self.settings.strategies[name],
                self._runs_of(name, "search"),
                self._finals_of(name),
                self.decision.scale,
            )
            for name in names
        }

    def _runs_of(self, name: str, phase: str) -> tuple[Run, ...]:
        return tuple(run for run in self.runs if run.strategy == name and run.phase == phase)

    def _finals_of(self, name: str) -> tuple[Run, ...]:
        """The runs that report what was found; those of an advice may be others."""
        finals = self._runs_of(name, "final")
        if self.settings.strategies[name].advised is None:
            return finals
        best = best_trial(self.settings, self._runs_of(name, "search"))
        return tuple(run for run in finals if best is not None and run.trial == best.trial)

    @property
    def best(self) -> StrategySummary | None:
        """The best strategy, or `None` if that is not decided.

        `comparison.best.build()` creates its optimizer, callbacks and batch size.
        """
        return self.strategies[self.decision.best] if self.decision.best else None

    @property
    def undecided(self) -> tuple[str, ...]:
        """The names of the strategies of which more seeds may decide."""
        return self.decision.undecided

    @property
    def verdict(self) -> str:
        """The decision in sentences, with what limits it: failed runs, and best values at edges.

        If a strategy was advised, it says how good the advice was.

        Differences are means with their 95 % intervals, in the metric's units.
        """
        return " ".join(self.sentences)

    @property
    def sentences(self) -> list[str]:
        """The sentences of the verdict."""
        margin = self.settings.margin or 0.0
        level = self.interval_level
        advice = (said for each in self.advice.values() for said in each.sentences(margin, level))
        return [*sentences(self.decision, self.strategies, margin, level), *advice]

    @property
    def interval_level(self) -> float:
        """1 - the confidence of each single interval of a difference.

        Less than 5 % if seeds are added until there is a decision: that the interval has the true
        difference after each of them has a probability of 95 %.
        """
        return level_for_looks(LEVEL, self.settings.seeds, self.settings.max_seeds)

    @cached_property
    def advice(self) -> dict[str, Advice]:
        """How good the advice was for each strategy that has one: that of `recommend`, for example.

        The runs with the advised values have the seeds of those that report, and decide nothing.
        """
        found = {}
        for name, each in self.strategies.items():
            first = next((run for run in each.trials if run.trial == 0), None)
            if each.strategy.advised is None or first is None:
                continue
            runs = tuple(run for run in self._runs_of(name, "final") if run.trial == 0)
            found[name] = Advice(
                strategy=each,
                values=each.strategy.advised,
                trial=first,
                rivals=[run for run in each.trials if run is not first],
                others=[r for o in self.strategies.values() if o is not each for r in o.trials],
                runs=runs,
                differences={
                    other: self._difference(summary.finals, runs)
                    for other, summary in self.strategies.items()
                    if summary.finals != runs
                },
            )
        return found

    def _difference(self, runs: Iterable[Run], others: Iterable[Run]) -> Difference:
        """By how much runs are better than others, over the seeds of which both were completed."""
        first, second = (
            {run.seed: run.score for run in each if run.status == "completed"}
            for each in (runs, others)
        )
        scale = scale_of(self.settings.mode, [*first.values(), *second.values()])
        return Difference(first, second, scale, self.settings.margin or 0.0)

    @property
    def edges(self) -> list[Edge]:
        """Chosen values that are the lowest or highest tried, so that better ones may be beyond."""
        return [edge for summary in self.strategies.values() for edge in summary.edges]

    def needed_seeds(self, delta: float | None = None) -> int | None:
        """The seeds that would find a difference between the two best in 80 % of experiments.

        Args:
            delta: Number > 0, the true difference, in the metric's units; the one seen if `None`.

        Returns:
            An integer; `None` if fewer than two strategies can be compared, or it is above a
            million.

        Raises:
            ValueError: If `delta` is not a positive number.
        """
        check_type("delta", delta, NonNegativeFloat | None)
        check(delta != 0, "delta", delta, "greater than 0: no number of seeds shows an equality")
        rivals = self.decision.rivals
        return rivals[0].difference.needed_seeds(LEVEL, delta) if rivals else None

    # -- time to a target --------------------------------------------------------------------

    @cached_property
    def target(self) -> float | None:
        """The value of the metric whose time is compared.

        By default the median score of the strategy that is second: how soon does the leader have
        what the second has at the end?
        """
        given = self.settings.target
        if given is not None and not isinstance(given, str):
            return given
        named = [*self.strategies.values()]
        second = named[1] if self.decision.rivals else named[0]
        known = second if given is None else self.strategies[given]
        return median(r.score for r in known.completed) if known.completed else None

    def profile(self) -> Profile:
        """How often each strategy reaches the target almost as soon as the fastest: a profile.

        Its problems are the seeds that all strategies have run with.
        """
        ran = [{r.seed for r in each.finals} for each in self.strategies.values() if each.finals]
        common = sorted(set.intersection(*ran)) if ran else []
        times = {}
        for name, each in self.strategies.items():
            found = [] if self.target is None else each.times(self.target, self._unit)
            by_seed = {run.seed: time for run, time in zip(each.finals, found, strict=False)}
            times[name] = [by_seed.get(seed, inf) for seed in common]
        return profile(times)

    def time(self, strategy: str) -> float:
        """The median time to the target, in the unit of the budget; infinite if not reached.

        Args:
            strategy: The strategy's name.
        """
        return (
            inf if self.target is None else self.strategies[strategy].time(self.target, self._unit)
        )

    @property
    def _unit(self) -> Literal["step", "seconds"]:
        return "step" if self.settings.budget.is_counted else "seconds"

    # -- tables ------------------------------------------------------------------------------

    @property
    def table(self) -> Table:
        """One row for each strategy, the leader first."""
        return Table(number_rows(self))

    def __str__(self) -> str:
        tables = (score_rows(self), cost_rows(self), advice_rows(self))
        return "\n\n".join((self.verdict, *(str(Table(rows)) for rows in tables if rows)))

    def __repr__(self) -> str:
        return f"<Comparison: {self.verdict}>"

    def _repr_html_(self) -> str:
        """The verdict, the tables, and what needs matplotlib if there is one: the main charts."""
        return notebook(
            *(element("p", sentence) for sentence in self.sentences),
            table("Scores, the leader first", score_rows(self)),
            table("Values, time and cost", cost_rows(self)),
            *(charts(self, ("differences", "curves")) if has_matplotlib() else ()),
        )

    def to_pandas(self, what: What = "strategies") -> Any:
        """A pandas data frame.

        Args:
            what: One row for each of `"strategies"`, `"runs"`, or evaluations in the `"curves"`.

        Raises:
            ImportError: If pandas is missing.
        """
        check_type("what", what, What)
        import pandas

        rows: list[Row] = self.table
        if what == "runs":
            names = [f.name for f in fields(Run) if f.name not in ("curve", "values")]
            rows = [{n: getattr(r, n) for n in names} | r.values for r in self.runs]
        elif what == "curves":
            about = ("strategy", "phase", "trial", "seed")
            rows = [
                {n: getattr(run, n) for n in about} | each._asdict()
                for run in self.runs
                for each in run.curve
            ]
        return pandas.DataFrame(rows)

    # -- for readers -------------------------------------------------------------------------

    def plot(self, kind: PlotKind, axes: Axes | None = None) -> Figure | None:
        """Draws a chart with matplotlib.

        Args:
            kind: `"curves"`: the metric during training, median and range over the seeds;
                `"rate"`: the score at each value that was tried; `"differences"`: the leader's lead
                over each other strategy, by seed, with its interval; `"profile"`: see `profile`;
                `"budget"`: the score that a number of trials would have given.
            axes: The axes to draw on; those of a new figure if `None`.

        Returns:
            The new `matplotlib.figure.Figure`, which a notebook shows; `None` if `axes` is given.

        Raises:
            ValueError: If there is no such chart.
            ImportError: If matplotlib is missing; install `keras_gdx[report]`.
        """
        check_type("kind", kind, PlotKind)
        needs_matplotlib("Comparison.plot")
        return drawn(partial(plot, self, kind), axes)

    def report(self, path: str | PathLike[str]) -> None:
        """Writes a self-contained HTML page, for readers who have not seen the training.

        Args:
            path: Path of the HTML file; its folder is created if missing.

        Raises:
            ImportError: If matplotlib is missing; install `keras_gdx[report]`.
            OSError: If the file cannot be written.
        """
        needs_matplotlib("Comparison.report")
        write_text(path, page(self))

    # -- files -------------------------------------------------------------------------------

    def save(self, path: str | PathLike[str]) -> None:
        """Writes everything but the model, the data and the loss to a JSON file.

        Args:
            path: Path of the file; its folder is created if missing.
        """
        write_text(path, encoded(self.runs, self.settings))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Comparison:
        """Reads what `save` has written.

        A strategy made by a function that this program does not have can be read, but not built.

        Args:
            path: Path of the file.

        Raises:
            ValueError: If the file has no comparison.
            OSError: If it cannot be read.
        """
        return cls(*decoded(Path(path).read_text(encoding="utf-8")))
