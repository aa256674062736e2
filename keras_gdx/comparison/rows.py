"""What tables say of each strategy, in words and numbers for readers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from keras_gdx.comparison.decision import LEVEL, Duel
from keras_gdx.comparison.summary import StrategySummary
from keras_gdx.comparison.verdict import between, in_words, interval, p_value, short
from keras_gdx.report.markup import Quantity, Row, said, table
from keras_gdx.report.notebook import notebook

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


class Table(list[Row]):
    """A list of rows that prints as a table, and is one in a notebook."""

    def __str__(self) -> str:
        names = [*dict.fromkeys(name for row in self for name in row)]
        lines = [names, *([_cell(row.get(name, "")) for name in names] for row in self)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        padded = [[c.ljust(w) for c, w in zip(line, widths, strict=True)] for line in lines]
        return "\n".join("  ".join(line).rstrip() for line in padded)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return notebook(table("One row for each strategy", self))


def _cell(value: Any) -> str:
    text = short(value) if isinstance(value, float) else said(value)
    return text.replace("\N{NO-BREAK SPACE}", " ")


def number_rows(result: Comparison) -> list[Row]:
    """Everything that is known of each strategy, as numbers, the leader first."""
    duels = {duel.other: duel for duel in result.decision.duels}
    return [_numbers(result, each, duels.get(n)) for n, each in result.strategies.items()]


def score_rows(result: Comparison) -> list[Row]:
    """How good each strategy is, the leader first."""
    duels = {duel.other: duel for duel in result.decision.duels}
    named = result.strategies.values()
    return without_empty([_scores(result, each, duels.get(each.name)) for each in named])


def cost_rows(result: Comparison) -> list[Row]:
    """What the search chose for each strategy, and what it costs."""
    return without_empty([_costs(result, each) for each in result.strategies.values()])


def advice_rows(result: Comparison) -> list[Row]:
    """How far each advice is behind what was found for each strategy, as numbers."""
    told = (a.rows(result.strategies, result.interval_level) for a in result.advice.values())
    return [row for rows in told for row in rows]


def _numbers(result: Comparison, each: StrategySummary, duel: Duel | None) -> dict[str, Any]:
    low, high = each.interval(LEVEL)
    row: dict[str, Any] = {
        "strategy": each.name,
        "values": in_words(each.values),
        "runs": len(each.completed),
        "failed": sum(each.failures.values()),
        result.settings.metric: each.score,
        "from": low,
        "to": high,
        **dict.fromkeys(
            ("behind by", "at least", "at most", "p", "sign-flip p", "leader better"), ""
        ),
    }
    if duel is not None:
        found = duel.difference
        low, high = found.interval(result.interval_level)
        p = "" if duel.outcome == "failed" else duel.p
        row |= {"behind by": found.mean, "at least": low, "at most": high, "p": p}
        flipped = "" if found.sign_flip is None else found.sign_flip
        row |= {"sign-flip p": flipped, "leader better": found.improvement}
    if result.target is not None:
        row |= {f"{unit} to target": each.time(result.target, unit) for unit in UNITS}
    rest = {
        "test": each.test,
        "seconds": each.seconds,
        "seconds with search": each.total_seconds,
        "state bytes": each.state_bytes,
        "joules": each.joules,
    }
    return row | {name: "" if value is None else value for name, value in rest.items()}


def _scores(result: Comparison, each: StrategySummary, duel: Duel | None) -> dict[str, Any]:
    failed = sum(each.failures.values())
    row: dict[str, Any] = {
        "strategy": each.name,
        "result": "leader",
        "runs": f"{len(each.completed)} of {len(each.finals)}" if failed else len(each.finals),
        "score": quantity(between(each.score, *each.interval(LEVEL)), each.score),
        "behind by": "",
        "p": "",
        "sign-flip p": "",
        "leader better": "",
        "test": "" if each.test is None else short(each.test),
    }
    if duel is not None:
        found = duel.difference
        row["result"] = OUTCOMES[duel.outcome].format(duel.leader)
        row["behind by"] = quantity(interval(found, result.interval_level), found.mean)
        if duel.outcome != "failed":
            row["p"] = _p(duel.p)
        if found.sign_flip is not None:
            row["sign-flip p"] = _p(found.sign_flip)
        if found.n:
            row["leader better"] = f"{100 * found.improvement:.0f} %"
    return row


def _p(p: float) -> Quantity:
    return Quantity(p_value(p)[1:].lstrip("="), p)


def _costs(result: Comparison, each: StrategySummary) -> dict[str, Any]:
    row: dict[str, Any] = {
        "strategy": each.name,
        "values": in_words(each.values),
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
