"""The HTML page of a comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from keras_gdx.comparison.decision import LEVEL, Duel
from keras_gdx.comparison.plots import CHARTS, Look, scanned
from keras_gdx.comparison.run import Run
from keras_gdx.comparison.summary import StrategySummary
from keras_gdx.comparison.verdict import between, interval, p_value, short
from keras_gdx.report.charts import CUT, DASHES, FEW, SIZE, canvas, embedded, sample, sentinel
from keras_gdx.report.clock import clock
from keras_gdx.report.document import document, facts, heading
from keras_gdx.report.markup import Html, Row, element, said, table
from keras_gdx.report.sorting import SORT

if TYPE_CHECKING:
    from keras_gdx.comparison.result import Comparison

COLOURS = 8  # of lines in the style sheet
KIB = 2**10
UNITS: tuple[Literal["step"], Literal["seconds"]] = ("step", "seconds")

OUTCOMES = {
    "better": "worse than {}",
    "equal": "equal in practice to {}",
    "undecided": "not decided",
    "failed": "out: runs failed",
}
COLUMNS = {
    "runs": "how many runs with different random seeds report, or how many of them were completed",
    "score": "the mean of the metric at the end of these runs, with its 95 % interval",
    "behind by": "how far it is behind the leader, from runs with the same seed, with the interval",
    "p": "how probable such a difference, or a larger one, is between equal strategies",
    "leader better": "the probability that one run of the leader is better than one of this",
    "test": "the mean of the metric on data that no decision has seen",
    "values": "what the search chose; “as given” if there was nothing to choose",
    "to target": "the median time until the metric reaches {target}; ∞ if most runs never do",
    "time": "training time of one run",
    "cost": "training time of all runs, those of the search included",
    "state": "memory of the optimizer's state",
    "energy": "of one run",
}


def page(result: Comparison) -> str:
    """Returns the complete page."""
    metric = result.settings.metric
    title = f"{len(result.strategies)} strategies compared by {metric}"
    sections = {
        "Verdict": verdict(result),
        "Strategies": strategies(result),
        "Charts": charts(result),
        "Search": search(result),
        "Runs": runs(result),
        "Setup": [facts(setup(result))],
        "Method": [element("p", text, class_="text") for text in method(result)],
    }
    return document(title, header(result, title), sections, "compare", SORT)


def header(result: Comparison, title: str) -> Html:
    """The state, and what the comparison was."""
    given = result.settings
    if result.best:
        state, kind = f"{result.best.name} is best", "finished"
    elif result.decision.leader:
        state, kind = f"no decision; {result.decision.leader} leads", "running"
    else:
        state, kind = "all runs failed", "failed"
    finals = [r for r in result.runs if r.phase == "final"]
    words = {
        "metric": f"{given.metric}, {'lower' if given.mode == 'min' else 'higher'} is better",
        "each run": str(given.budget),
        "runs that report": said(len(finals)),
        "runs of the search": said(len(result.runs) - len(finals)),
        "training time": clock(sum(run.seconds for run in result.runs)),
    }
    return heading(title, state, kind, words)


def verdict(result: Comparison) -> list[Html]:
    """The verdict, and how to read it."""
    confidence = (
        "Numbers in brackets are 95 % intervals: the range in which the true difference probably "
        f"is. n is the number of runs with different random seeds, and p the probability of such a "
        f"difference between equal strategies; up to {LEVEL} it counts as a decision."
    )
    return [
        *(element("p", sentence, class_="lead") for sentence in result.sentences),
        element("p", confidence, class_="note text"),
    ]


# -- tables ----------------------------------------------------------------------------------


def strategies(result: Comparison) -> list[Html]:
    """The scores and the cost of each strategy, and what the columns mean."""
    duels = {duel.other: duel for duel in result.decision.duels}
    named = result.strategies.values()
    scores = without_empty([_scores(result, each, duels.get(each.name)) for each in named])
    costs = without_empty([_costs(result, each) for each in named])
    target = short(result.target) if result.target is not None else ""
    words = {
        name: text.format(target=target)
        for name, text in COLUMNS.items()
        if name in scores[0] or name in costs[0]
    }
    terms = [
        piece for n, text in words.items() for piece in (element("dt", n), element("dd", text))
    ]
    return [
        table("Scores, the leader first", scores, sortable=True),
        table("Values, time and cost", costs, sortable=True),
        element("dl", *terms, class_="words"),
    ]


def _scores(result: Comparison, each: StrategySummary, duel: Duel | None) -> dict[str, Any]:
    failed = sum(each.failures.values())
    return {
        "strategy": each.name,
        "result": OUTCOMES[duel.outcome].format(duel.leader) if duel else "leader",
        "runs": f"{len(each.completed)} of {len(each.finals)}" if failed else len(each.finals),
        "score": together(between(each.score, *each.interval(LEVEL))),
        "behind by": together(interval(duel.difference, result.interval_level)) if duel else "",
        "p": p_value(duel.p)[1:].lstrip("=") if duel and duel.outcome != "failed" else "",
        "leader better": _percent(duel.difference.improvement) if duel else "",
        "test": "" if each.test is None else short(each.test),
    }


def _costs(result: Comparison, each: StrategySummary) -> dict[str, Any]:
    row: dict[str, Any] = {
        "strategy": each.name,
        "values": ", ".join(f"{n} {said(v)}" for n, v in each.values.items()) or "as given",
        "to target": "",
        "time": "" if each.seconds is None else together(f"{short(each.seconds)} s"),
        "cost": together(f"{short(each.total_seconds)} s"),
        "state": ""
        if each.state_bytes is None
        else together(f"{short(each.state_bytes / MIB)} MiB"),
        "energy": "" if each.joules is None else together(f"{short(each.joules)} J"),
    }
    if result.target is not None:
        steps, seconds = (each.time(result.target, unit) for unit in UNITS)
        reached = math.isfinite(steps)
        row["to target"] = f"{steps:,.0f} steps, {short(seconds)} s" if reached else "∞"
    return row


def size(count: float) -> str:
    """A number of bytes.

    Example:
        >>> size(100), size(4.5 * 2**20)
        ('100 B', '4.5 MiB')
    """
    for unit in ("B", "KiB", "MiB"):
        if count < KIB:
            return f"{short(count)} {unit}"
        count /= KIB
    return f"{short(count)} GiB"


def together(text: str) -> str:
    """A text that is not broken into lines."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def without_empty(rows: Sequence[Row]) -> list[Row]:
    """Rows without the columns in which all are empty."""
    empty = [name for name in rows[0] if all(row[name] == "" for row in rows)]
    return [{name: x for name, x in row.items() if name not in empty} for row in rows]


def _percent(share: float) -> str:
    return "" if math.isnan(share) else f"{100 * share:.0f} %"


def search(result: Comparison) -> list[Html]:
    """What was tried, and whether the best value may be beyond it."""
    trials = [r for each in result.strategies.values() for r in each.trials]
    if not trials:
        return []
    searched = [each for each in result.strategies.values() if each.trials]
    rows = [
        {
            "strategy": each.name,
            "tried": len(each.trials),
            "failed": sum(r.status not in ("completed", "pruned") for r in each.trials),
            "ended early": sum(r.status == "pruned" for r in each.trials),
            "best of the search": short(each.search_score) if each.search_score else "",
            "with new seeds": short(each.score),
        }
        for each in searched
    ]
    note = (
        "The best score of a search is too good, because it was chosen for being the best. "
        "Runs with new seeds show what it is worth; only they count."
    )
    return [
        element("p", note, class_="text"),
        *(element("p", str(edge), class_="text") for edge in result.edges),
        table("Trials by strategy", rows, sortable=True),
        folded(f"All {len(trials)} trials", trials),
    ]


def runs(result: Comparison) -> list[Html]:
    """What failed, and all runs that report."""
    finals = [r for each in result.strategies.values() for r in each.finals]
    failed = [run for run in finals if run.status != "completed"]
    blocks = [_table("Runs that failed", failed)] if failed else []
    return [*blocks, folded(f"All {len(finals)} runs that report", finals)] if finals else []


def folded(title: str, found: Sequence[Run]) -> Html:
    """A table of runs that can be unfolded."""
    return element("details", element("summary", title), _table(title, found))


def _table(title: str, found: Sequence[Run]) -> Html:
    rows = [
        {
            "strategy": run.strategy,
            "seed": run.seed,
            "values": ", ".join(f"{n} {said(v)}" for n, v in run.values.items()),
            "ended": run.status,
            "score": short(run.score) if math.isfinite(run.score) else "",
            "steps": run.steps,
            "seconds": short(run.seconds),
            "why": run.message.partition("\n")[0][:200],
        }
        for run in found
    ]
    return table(title, without_empty(rows), sortable=True)


# -- charts ----------------------------------------------------------------------------------


def charts(result: Comparison) -> list[Html]:
    """All charts that have something to show, under one legend."""
    if result.decision.leader is None:
        return []
    metric = result.settings.metric
    better = "lower" if result.settings.mode == "min" else "higher"
    captions = {
        "differences": (
            "The leader's lead",
            "Small marks are seeds, the large one is their mean, the line its interval. A line "
            "that reaches 0 means that the other strategy may be as good.",
        ),
        "curves": (
            f"{metric} during training",
            f"Median of the runs, shaded from the best to the worst; {better} is better. "
            "The dashed line is the target.",
        ),
        "rate": (
            f"{metric} at each value that was tried",
            "The ring is the value that was chosen; × marks runs that failed. A wide valley is "
            "easy to tune; a ring at an end says that better values may be beyond it.",
        ),
        "budget": (
            f"{metric} by the number of trials",
            "The best of so many trials, at the median of all choices: who is better only after "
            "more tuning?",
        ),
        "profile": (
            "How soon the target is reached",
            f"The share of runs that reach {short(result.target or math.nan)} in a multiple of "
            "the time of the fastest run with the same seed; higher is better.",
        ),
    }
    shown = {"differences": len(result.decision.duels) > 0, "rate": scanned(result) is not None}
    shown |= {"budget": any(each.trials for each in result.strategies.values())}
    names = [*result.strategies]
    keys = [sample(n, colour(i), DASHES[i % FEW]) for i, n in enumerate(names)]
    return [
        element("p", *keys, class_="title"),
        element(
            "div",
            *(figure(result, kind, *captions[kind]) for kind in captions if shown.get(kind, True)),
            class_="charts",
        ),
    ]


def figure(result: Comparison, kind: str, title: str, note: str) -> Html:
    """One chart with its title and a note on how to read it."""
    names = [*result.strategies]
    look = Look({name: sentinel(place) for place, name in enumerate(names)}, CUT)
    rows = len(names) - 1
    height = max(SIZE[1], 0.7 + 0.4 * rows) if kind == "differences" else SIZE[1]
    with canvas(height) as (sheet, axes):
        words = CHARTS[kind](result, axes, look)
        svg = embedded(sheet, [colour(place) for place in range(len(names))], f"{title}. {words}")
    caption = element("figcaption", element("p", element("strong", title), class_="title"))
    scales = (axes.get_xscale(), axes.get_yscale())
    axis = {("log", "log"): "Both axes are", ("log", "linear"): "The horizontal axis is"}.get(
        scales, "The vertical axis is" if scales[1] == "log" else ""
    )
    text = f"{note} {axis} logarithmic." if axis else note
    return element("figure", caption, svg, element("p", text, class_="note"))


def colour(place: int) -> str:
    """The color of a strategy, as CSS."""
    return f"var(--line-{place % COLOURS})"


# -- words -----------------------------------------------------------------------------------


def setup(result: Comparison) -> dict[str, dict[str, str]]:
    """The arguments of the comparison."""
    given = result.settings
    return {
        "Comparison": {
            "metric": given.metric,
            "better is": "lower" if given.mode == "min" else "higher",
            "budget of a run": str(given.budget),
            "batch size": said(given.batch_size),
            "evaluations in a run": said(given.evaluations),
            "seeds that report": f"{given.seeds}, up to {given.max_seeds} while undecided",
            "margin": "none" if given.margin is None else said(given.margin),
            "target": said(result.target),
        },
        "Search": {
            "trials of each strategy": said(given.trials),
            "method": given.search,
            "seed": said(given.search_seed),
            "ended early": given.prune or "no",
        },
        "Strategies": {name: strategy_in_words(each) for name, each in result.strategies.items()},
    }


def strategy_in_words(each: StrategySummary) -> str:
    """A strategy's optimizer, arguments and spaces."""
    strategy = each.strategy
    name = strategy.optimizer
    name = name if isinstance(name, str) else getattr(name, "__name__", type(name).__name__)
    arguments = ", ".join(f"{n}={said(value)}" for n, value in strategy.arguments.items())
    return f"{name}({arguments})"


def method(result: Comparison) -> list[str]:
    """How the decision was made."""
    given = result.settings
    scale = {
        "geometric mean": "Scores are compared by their logarithms, and means are geometric, "
        "because losses vary in proportion to their size; differences are given in the metric's "
        "units, at the other strategy's mean.",
        "mean": "Scores are compared as they are.",
    }[result.decision.scale.name]
    racing = (
        f" Seeds were added from {given.seeds} up to {given.max_seeds}, as long as a difference "
        "was not decided; p values and intervals allow for the repeated tests."
        if given.max_seeds > given.seeds
        else ""
    )
    return [
        "Each strategy had the same budget, and the same number of trials if it had values to "
        "choose. The values with the best score of the search were trained again with new seeds, "
        "the same for all strategies; only these runs are compared.",
        "The strategy with the best scores is tested against each other one with Student's paired "
        "t test. The p values are adjusted for the number of strategies and for the choice of the "
        "best one by the same scores, so that the probability of any false decision is at most "
        f"{100 * LEVEL:.0f} %.{racing}",
        f"{scale} A strategy of which a run failed cannot be best if another one has no failure.",
    ]
