"""The tables on the page of a comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from keras_gdx.comparison.decision import LEVEL, Duel
from keras_gdx.comparison.run import Run
from keras_gdx.comparison.summary import StrategySummary
from keras_gdx.comparison.verdict import between, interval, p_value, short
from keras_gdx.report.markup import Html, Quantity, Row, element, said, table

if TYPE_CHECKING:
    from keras_gdx.comparison.result import Comparison

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
    row: dict[str, Any] = {
        "strategy": each.name,
        "result": "leader",
        "runs": f"{len(each.completed)} of {len(each.finals)}" if failed else len(each.finals),
        "score": quantity(between(each.score, *each.interval(LEVEL)), each.score),
        "behind by": "",
        "p": "",
        "leader better": "",
        "test": "" if each.test is None else short(each.test),
    }
    if duel is not None:
        found = duel.difference
        row["result"] = OUTCOMES[duel.outcome].format(duel.leader)
        row["behind by"] = quantity(interval(found, result.interval_level), found.mean)
        if duel.outcome != "failed":
            row["p"] = quantity(p_value(duel.p)[1:].lstrip("="), duel.p)
        if found.n:
            row["leader better"] = f"{100 * found.improvement:.0f} %"
    return row


def _costs(result: Comparison, each: StrategySummary) -> dict[str, Any]:
    row: dict[str, Any] = {
        "strategy": each.name,
        "values": ", ".join(f"{n} {said(v)}" for n, v in each.values.items()) or "as given",
        "to target": "",
        "time": with_unit(each.seconds, "s"),
        "cost": with_unit(each.total_seconds, "s"),
        "state": ""
        if each.state_bytes is None
        else quantity(size(each.state_bytes), each.state_bytes),
        "energy": with_unit(each.joules, "J"),
    }
    if result.target is not None:
        steps, seconds = (each.time(result.target, unit) for unit in UNITS)
        text = f"{steps:,.0f} steps, {short(seconds)} s" if math.isfinite(steps) else "∞"
        row["to target"] = Quantity(text, steps)
    return row


def quantity(text: str, value: float) -> Quantity:
    """A text that is not broken into lines, and its number."""
    return Quantity(text.replace(" ", "\N{NO-BREAK SPACE}"), value)


def with_unit(value: float | None, unit: str) -> str:
    """A number with its unit, if it is known."""
    return "" if value is None else quantity(f"{short(value)} {unit}", value)


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


def without_empty(rows: Sequence[Row]) -> list[Row]:
    """Rows without the columns in which all are empty."""
    empty = [name for name in rows[0] if all(row[name] == "" for row in rows)]
    return [{name: x for name, x in row.items() if name not in empty} for row in rows]


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
            "best of the search": "" if each.search_score is None else short(each.search_score),
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
