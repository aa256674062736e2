"""What tables say of each strategy, in words and numbers for readers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from keras_gdx.comparison.decision import LEVEL, Duel
from keras_gdx.comparison.summary import StrategySummary
from keras_gdx.comparison.verdict import between, interval, p_value, short
from keras_gdx.report.markup import Quantity, Row, said

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


def score_rows(result: Comparison) -> list[Row]:
    """How good each strategy is, the leader first."""
    duels = {duel.other: duel for duel in result.decision.duels}
    named = result.strategies.values()
    return without_empty([_scores(result, each, duels.get(each.name)) for each in named])


def cost_rows(result: Comparison) -> list[Row]:
    """What the search chose for each strategy, and what it costs."""
    return without_empty([_costs(result, each) for each in result.strategies.values()])


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
        text = f"{steps:,.0f} steps, {short(seconds)} s" if math.isfinite(steps) else "never"
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
