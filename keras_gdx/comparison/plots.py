"""Charts of a comparison, drawn on matplotlib axes.

Each function draws one chart and returns it in words. `Look` has the colors: matplotlib's own for
users, those of the page for the report.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from keras_gdx.arguments import is_number
from keras_gdx.comparison.profile import Profile
from keras_gdx.comparison.run import Run
from keras_gdx.comparison.spaces import Advised, LogUniform
from keras_gdx.comparison.statistics import best_of
from keras_gdx.comparison.summary import StrategySummary
from keras_gdx.comparison.verdict import interval, short
from keras_gdx.report.charts import HOVER, MANY, dash, log_scale, spans_magnitudes
from keras_gdx.report.markup import said

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from keras_gdx.comparison.result import Comparison

TITLES = {
    "curves": "Median and range during training",
    "rate": "Each value that was tried",
    "differences": "The leader's lead by seed, its mean and interval",
    "profile": "How soon the target is reached",
    "budget": "What so many trials would have found",
}
MARKERS = "osD^vP*X"
LONGEST = 26  # letters of a name in a chart


class Look(NamedTuple):
    """The colors of a chart, and the styles that tell strategies apart without them.

    Attributes:
        colours: By strategy.
        quiet: For targets and margins.
    """

    colours: Mapping[str, str]
    quiet: str

    def line(self, name: str) -> dict[str, Any]:
        """The style of a strategy's line."""
        place = [*self.colours].index(name)
        return {"color": self.colours[name], "linestyle": dash(place), "linewidth": 1.6}

    def point(self, name: str, size: float = 4.0) -> dict[str, Any]:
        """The style of a strategy's points."""
        marker = MARKERS[[*self.colours].index(name) % len(MARKERS)]
        return {"color": self.colours[name], "marker": marker, "markersize": size, "linestyle": ""}


def plot(result: Comparison, kind: str, axes: Axes) -> None:
    """Draws the chart of this kind, with title and legend, for a user."""
    look = _for_user(result.strategies)
    CHARTS[kind](result, axes, look)
    given = result.settings
    seeds = {run.seed for each in result.strategies.values() for run in each.finals}
    told = f"n = {len(seeds)} seeds"
    if kind in ("rate", "budget"):
        told = f"n = {given.trials} trials of each strategy"
    axes.set_title(f"{TITLES[kind]}\n{given.budget} in each run, {told}", fontsize="medium")
    if kind != "differences":
        share = "share of seeds that reach the target"
        _explained(axes, look, share if kind == "profile" else given.metric)


def draw_profile(found: Profile, title: str, share: str, axes: Axes) -> None:
    """Draws profiles with title and legend, for a user."""
    look = _for_user(found.shares)
    axes.set_title(title, fontsize="medium")
    _profile(found, axes, look)
    _explained(axes, look, share)


def drawn(draw: Callable[[Axes], None], axes: Axes | None) -> Figure | None:
    """Draws on these axes, or on those of a new figure, which it returns."""
    if axes is not None:
        draw(axes)
        return None
    from keras_gdx.figures import Picture

    figure = Picture(6.4, 4.4)
    draw(figure.subplots())
    return figure


def _for_user(names: Iterable[str]) -> Look:
    """Colors of matplotlib."""
    return Look({name: f"C{i}" for i, name in enumerate(names)}, "gray")


def _explained(axes: Axes, look: Look, label: str) -> None:
    """Adds a label of the vertical axis, and a legend."""
    axes.set_ylabel(label)
    for name in look.colours:
        axes.plot([], [], label=shortened(name).lstrip("_"), **look.line(name))
    for text in axes.legend(fontsize="small").get_texts():
        text.set_parse_math(False)


# -- the charts ------------------------------------------------------------------------------


def curves(result: Comparison, axes: Axes, look: Look) -> str:
    """The metric during training: median and range over the seeds."""
    words, values = [], []
    unit = "step" if result.settings.budget.is_counted else "seconds"
    for name, each in result.strategies.items():
        points = [*_course(each.finals, unit)]
        if not points:
            continue
        x, low, middle, high = (list(column) for column in zip(*points, strict=True))
        axes.plot(x, middle, **look.line(name))
        axes.fill_between(x, low, high, color=look.colours[name], alpha=0.15, linewidth=0)
        for at, value in [*zip(x, middle, strict=True)][:: math.ceil(len(x) / MANY)]:
            text = f"{name}, {unit} {at:,.0f}: {short(value)}"
            axes.plot([at], [value], gid=HOVER + text, **look.point(name, 2.6))
        words.append(f"{name}: {short(middle[0])} at first, {short(middle[-1])} at last.")
        values += low + high
    if result.target is not None:
        axes.axhline(result.target, color=look.quiet, linewidth=1, linestyle=(0, (2, 2)))
        words.append(f"The target is {short(result.target)}.")
    if spans_magnitudes(values):
        log_scale(axes, "y")
    axes.set_xlabel(unit)
    return " ".join(words)


def _course(runs: Sequence[Run], unit: str) -> Iterator[tuple[float, float, float, float]]:
    """The place of each evaluation, and the lowest, median and highest value there."""
    longest = max((len(run.curve) for run in runs), default=0)
    for i in range(longest):
        there = [run.curve[i] for run in runs if len(run.curve) > i]
        values = [each.value for each in there if math.isfinite(each.value)]
        if values:
            place = median(getattr(each, unit) for each in there)
            yield place, min(values), median(values), max(values)


def rate(result: Comparison, axes: Axes, look: Look) -> str:
    """The score at each value of the most important number that was tried."""
    argument = scanned(result)
    if argument is None:
        return "No number was tried at several values."
    tried = [each for each in result.strategies.values() if argument in each.strategy.space]
    words = [_tried(each, argument, axes, look) for each in tried]
    if any(isinstance(each.strategy.space[argument], (LogUniform, Advised)) for each in tried):
        log_scale(axes, "x")
    if spans_magnitudes(r.score for each in tried for r in each.trials if r.status == "completed"):
        log_scale(axes, "y")
    axes.set_xlabel(argument)
    return " ".join(words)


def _tried(each: StrategySummary, argument: str, axes: Axes, look: Look) -> str:
    """Draws the trials of one strategy."""
    name = each.name
    trials = [r for r in each.trials if is_number(r.values[argument])]
    good = sorted((r.values[argument], r.score) for r in trials if r.status == "completed")
    for x, score in good:
        text = f"{name}, {argument} {said(x)}: {short(score)}"
        axes.plot([x], [score], gid=HOVER + text, **look.point(name))
    above = {"transform": axes.get_xaxis_transform(), "clip_on": False, "marker": "x"}
    for run in trials:
        if run.status != "completed":
            x = run.values[argument]
            text = f"{name}, {argument} {said(x)}: {run.status}"
            axes.plot([x], [1], gid=HOVER + text, **look.point(name, 5) | above)
    if not good:
        return f"{name}: no trial was completed."
    if len(each.strategy.space) == 1:  # with several arguments, a line would not be of this one
        axes.plot(*zip(*good, strict=True), **look.line(name))
    x, score = min(good, key=lambda point: each.scale.to(point[1]))
    axes.plot([x], [score], **look.point(name, 9) | {"markerfacecolor": "none", "marker": "o"})
    return (
        f"{name}: best at {said(x)} with {short(score)}; {len(good)} of {len(trials)} trials were "
        "completed."
    )


def scanned(result: Comparison) -> str | None:
    """The argument of the chart of rates: the learning rate if it was tried at several values."""
    found = [
        argument
        for each in result.strategies.values()
        for argument in each.strategy.space
        if len({r.values[argument] for r in each.trials if is_number(r.values[argument])}) > 1
    ]
    return next((a for a in found if "rate" in a), found[0] if found else None)


def differences(result: Comparison, axes: Axes, look: Look) -> str:
    """The leader's lead over each other strategy: each seed, the mean and its interval."""
    words = []
    margin = result.settings.margin
    if margin:
        axes.axvspan(-margin, margin, color=look.quiet, alpha=0.2, linewidth=0)
        words.append(f"The band is the margin of {said(margin)}.")
    axes.axvline(0, color=look.quiet, linewidth=1)
    duels = [duel for duel in result.decision.duels if duel.difference.n]
    for row, duel in enumerate(duels):
        found, name = duel.difference, duel.other
        for seed, value in found.by_seed.items():
            text = f"{name}, seed {seed}: {short(value)}"
            axes.plot(
                [value], [row + 0.16], gid=HOVER + text, **look.point(name, 3) | {"alpha": 0.7}
            )
        bounds = found.interval(result.interval_level)
        text = f"{name}: {interval(found, result.interval_level)}"
        if math.isfinite(bounds[0]):
            axes.plot(bounds, [row, row], color=look.colours[name], linewidth=2.2, gid=HOVER + text)
        axes.plot([found.mean], [row], gid=HOVER + text, **look.point(name, 6))
        axes.text(
            0, row - 0.24, shortened(name), transform=axes.get_yaxis_transform(), parse_math=False,
            fontsize="small",
        )  # fmt: skip
        words.append(f"{text}.")
    axes.set_ylim(len(duels) - 0.5, -0.7)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"{result.settings.metric}: better by")
    return " ".join(words)


def profile(result: Comparison, axes: Axes, look: Look) -> str:
    """The share of seeds that reach the target in a multiple of the fastest time."""
    return _profile(result.profile(), axes, look)


def _profile(found: Profile, axes: Axes, look: Look) -> str:
    for name, share in found.shares.items():
        text = f"{name}: score {found.scores[name]:.2f}"
        axes.plot(found.factors, share, gid=HOVER + text, **look.line(name))
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("times as long as the fastest")
    return " ".join(f"{name}: score {score:.2f}." for name, score in found.scores.items())


def budget(result: Comparison, axes: Axes, look: Look) -> str:
    """The score that each number of trials would have given."""
    from matplotlib.ticker import MaxNLocator

    words = []
    for name, each in result.strategies.items():
        points = [(k, y) for k, y in best_after(each) if math.isfinite(y)]
        if not points:
            continue
        axes.plot(*zip(*points, strict=True), **look.line(name))
        for k, y in points:
            text = f"{name}, {k} trials: {short(y)}"
            axes.plot([k], [y], gid=HOVER + text, **look.point(name, 2.6))
        words.append(f"{name}: {short(points[0][1])} with {points[0][0]}, {short(points[-1][1])}")
        words[-1] += f" with {points[-1][0]}."
    axes.set_xlabel("trials")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return " ".join(words) or "No strategy has a space to search."


def best_after(each: StrategySummary) -> list[tuple[int, float]]:
    """The median score of the best of 1, 2, ... trials."""
    if not each.trials:
        return []
    points = [
        float(each.scale.to(r.score)) if r.status == "completed" else math.inf for r in each.trials
    ]
    return [*enumerate(map(float, each.scale.back(best_of(points))), 1)]


def shortened(name: str) -> str:
    """A name that fits into a chart."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


CHARTS = {
    "curves": curves,
    "rate": rate,
    "differences": differences,
    "profile": profile,
    "budget": budget,
}
