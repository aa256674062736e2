"""The tables on the page of a comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras_gdx.comparison.rows import advice_rows, cost_rows, quantity, score_rows, without_empty
from keras_gdx.comparison.run import Run
from keras_gdx.comparison.verdict import in_words, short
from keras_gdx.report.markup import Html, element, table

if TYPE_CHECKING:
    from keras_gdx.comparison.result import Comparison

COLUMNS = {
    "runs": "how many runs with different random seeds report, or how many of them were completed",
    "score": "the mean of the metric at the end of these runs, with its 95 % interval",
    "behind by": "how far it is behind the leader, from runs with the same seed, with the interval",
    "p": "how probable such a difference, or a larger one, is between equal strategies",
    "sign-flip p": "that of a test which assumes only symmetry, of these two strategies alone",
    "leader better": "the probability that one run of the leader is better than one of this",
    "test": "the mean of the metric on data that no decision has seen",
    "values": "what the search chose; “as given” if there was nothing to choose",
    "to target": "the median time until the metric reaches {target}; “never” if most runs do not",
    "time": "training time of one run",
    "cost": "training time of all runs, those of the search included",
    "state": "memory of the optimizer's state",
    "energy": "of one run",
}


def strategies(result: Comparison) -> list[Html]:
    """The scores and the cost of each strategy, and what the columns mean."""
    scores, costs = score_rows(result), cost_rows(result)
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


def advice(result: Comparison) -> list[Html]:
    """How far each advice is behind what was found for each strategy."""
    rows = advice_rows(result)
    if not rows:
        return []
    note = (
        "Runs with the advised values, as they were before any search, against the runs that "
        "report of each strategy, by seed; less than 0 is ahead of it."
    )
    shown = [{name: _quantity(value) for name, value in row.items()} for row in rows]
    told = table("How good the advice was", shown, sortable=True)
    return [element("p", note, class_="text"), told]


def _quantity(value: Any) -> Any:
    return quantity(short(value), value) if isinstance(value, float) else value


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
    finals = [
        run
        for name in result.strategies
        for run in result.runs
        if (run.strategy, run.phase) == (name, "final")
    ]
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
            "values": in_words(run.values) if run.values else "",
            "ended": run.status,
            "score": short(run.score) if math.isfinite(run.score) else "",
            "steps": run.steps,
            "seconds": short(run.seconds),
            "why": run.message.partition("\n")[0][:200],
        }
        for run in found
    ]
    return table(title, without_empty(rows), sortable=True)
