"""The result of a comparison in words."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from keras_gdx.comparison.decision import LEVEL, Decision, Duel
from keras_gdx.comparison.difference import Difference
from keras_gdx.comparison.summary import StrategySummary
from keras_gdx.report.markup import said

NAMED = 3  # strategies that are worse


def sentences(
    decision: Decision, summaries: Mapping[str, StrategySummary], margin: float, level: float
) -> Iterator[str]:
    """The decision, and what limits it.

    Args:
        decision: The decision.
        summaries: The strategies.
        margin: The difference that matters.
        level: 1 - the confidence of intervals.
    """
    if decision.leader is None:
        yield "No run was completed: nothing can be said."
        return
    rivals, leader = decision.rivals, decision.leader
    beaten = [duel for duel in rivals if duel.outcome == "better"]
    close = [duel for duel in rivals if duel.outcome == "undecided"]
    same = [duel for duel in rivals if duel.outcome == "equal"]
    for duel in close:
        what = f"No significant difference between {leader} and {duel.other}"
        if margin:
            what = f"Not decided if {leader} is better than {duel.other} by {said(margin)}"
        yield f"{what}: {_more(duel, level)}."
    for duel in same:
        yield (
            f"{leader} and {duel.other} are equal in practice: the difference is less than "
            f"{said(margin)}, namely {evidence(duel, level)}."
        )
    if beaten:
        named = [f"{duel.other} by {evidence(duel, level)}" for duel in beaten[:NAMED]]
        rest = len(beaten) - NAMED
        more = [f"and {rest} other{'s' if rest > 1 else ''} by more"] if rest > 0 else []
        yield f"{leader} beats {'; '.join(named + more)}."
    if not rivals:
        yield f"{leader} is the only one left." if decision.duels else f"{leader} has no rival."
    for summary in summaries.values():
        if summary.name != leader and summary.name not in [duel.other for duel in rivals]:
            yield f"{summary.name} is out: {_failed(summary)}."
        elif summary.failures:
            yield f"{summary.name} is not reliable: {_failed(summary)}."
    yield from (str(edge) for summary in summaries.values() for edge in summary.edges)


def evidence(duel: Duel, level: float) -> str:
    """The difference with its interval, the number of seeds and the p value."""
    return f"{interval(duel.difference, level)}, n={duel.difference.n}, {p_value(duel.p)}"


def interval(difference: Difference, level: float) -> str:
    """The mean difference with its interval."""
    return between(difference.mean, *difference.interval(level))


def between(value: float, low: float, high: float) -> str:
    """A value with its interval, all to two digits of the interval's width.

    Example:
        >>> between(0.02149, 0.0121, 0.03), between(1234.5, 1200.0, 1260.2)
        ('0.021 [0.012, 0.030]', '1,234 [1,200, 1,260]')
    """
    if not (math.isfinite(high - low) and high > low):
        return f"{short(value)} [{short(low)}, {short(high)}]"
    digits = max(0, 1 - math.floor(math.log10(high - low)))
    if digits > 6:
        return f"{value:.3g} [{low:.3g}, {high:.3g}]"
    return f"{value:,.{digits}f} [{low:,.{digits}f}, {high:,.{digits}f}]"


def short(value: float) -> str:
    """A number to three digits.

    Example:
        >>> short(0.021349), short(1234.5), short(float("nan"))
        ('0.0213', '1,234', 'none')
    """
    if value != value:
        return "none"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"


def in_words(values: Mapping[str, Any]) -> str:
    """The values of a strategy's open arguments.

    Example:
        >>> in_words({"learning_rate": 0.02, "momentum": 0.9}), in_words({})
        ('learning_rate 0.02, momentum 0.9', 'as given')
    """
    return ", ".join(f"{name} {said(value)}" for name, value in values.items()) or "as given"


def p_value(p: float) -> str:
    """A p value.

    Example:
        >>> p_value(0.00213), p_value(1e-7), p_value(0.124)
        ('p=0.002', 'p<0.001', 'p=0.12')
    """
    if p < 0.001:
        return "p<0.001"
    return f"p={p:.3f}" if p < 0.1 else f"p={p:.2f}"


def _more(duel: Duel, level: float) -> str:
    """What is known of an undecided pair, and what more seeds could show."""
    if duel.difference.n < 2:
        return f"{duel.difference.n} seed cannot tell, at least 2 are needed"
    needed = duel.difference.needed_seeds(LEVEL)
    if needed is None or needed > 1000:
        words = "more than 1,000 seeds would be needed"
    elif needed > duel.difference.n:
        words = f"about {needed} seeds would be needed"
    else:
        words = "a few more seeds may decide"
    return f"{evidence(duel, level)}; {words}"


def _failed(summary: StrategySummary) -> str:
    if not summary.finals:
        return "none of its trials was completed"
    kinds = ", ".join(f"{count} {status}" for status, count in summary.failures.items())
    failed = sum(summary.failures.values())
    return f"{failed} of {len(summary.finals)} runs failed ({kinds})"
