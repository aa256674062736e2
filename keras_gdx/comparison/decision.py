"""Decides which strategy is best, from the scores of the runs that report."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from keras_gdx.comparison.difference import Difference
from keras_gdx.comparison.scale import Scale, scale_of
from keras_gdx.comparison.statistics import for_looks, step_down

LEVEL = 0.05  # the chance of a false decision

Scores = Mapping[str, Mapping[int, float]]  # by strategy and seed
Outcome = Literal["better", "equal", "undecided", "failed"]


@dataclass(frozen=True)
class Duel:
    """The leader against another strategy.

    Attributes:
        leader: The strategy with the best scores.
        other: The other strategy.
        outcome: `"better"` if the leader is better by more than the margin; `"equal"` if it is
            not, which only a margin can show; `"undecided"`; or `"failed"` if the other strategy
            is out because runs of it failed.
        p: The p value, adjusted for all strategies and for all tests while seeds were added; 1 for
            a strategy that is out.
        difference: By how much the leader is better.
    """

    leader: str
    other: str
    outcome: Outcome
    p: float
    difference: Difference


@dataclass(frozen=True)
class Decision:
    """The leader, and how it compares with each other strategy.

    Attributes:
        scale: The scale of means and tests.
        leader: The strategy with the best scores, or `None` if all runs failed.
        duels: Those with all others: the closest first, and those that are out last.
    """

    scale: Scale
    leader: str | None
    duels: tuple[Duel, ...]

    @property
    def rivals(self) -> tuple[Duel, ...]:
        """The duels with strategies that are not out."""
        return tuple(duel for duel in self.duels if duel.outcome != "failed")

    @property
    def best(self) -> str | None:
        """The leader, if it is better than each of its rivals."""
        return self.leader if all(duel.outcome == "better" for duel in self.rivals) else None

    @property
    def undecided(self) -> tuple[str, ...]:
        """The strategies of which more seeds may decide."""
        found = [duel.other for duel in self.duels if duel.outcome == "undecided"]
        return (self.leader, *found) if self.leader and found else ()


def decide(
    scores: Scores, mode: Literal["min", "max"], margin: float, seeds: int, max_seeds: int
) -> Decision:
    """Compares the strategy that has the best scores with each other one.

    A strategy with a failed run is out if another one has none. If each has some, they are
    compared by the seeds of which both runs were completed.

    The leader is better than another strategy if the p value of Student's paired test is at most
    5 %, after two adjustments: `step_down` for the number of strategies and the choice of the
    leader, `for_looks` for a decision after each seed from `seeds` to `max_seeds`. So the chance of
    any false decision in the experiment is at most 5 %.

    Args:
        scores: The score of each run; not finite if it failed.
        mode: Whether lower or higher is better.
        margin: Number >= 0, the difference that matters, in the metric's units.
        seeds: The number of seeds at the first decision.
        max_seeds: That at the last one.
    """
    good = {
        name: {seed: x for seed, x in each.items() if math.isfinite(x)}
        for name, each in scores.items()
    }
    scale = scale_of(mode, [x for each in good.values() for x in each.values()])
    completed = [name for name in good if good[name]]
    if not completed:
        return Decision(scale, None, ())
    rivals = [n for n in completed if len(good[n]) == len(scores[n])] or completed
    points = {n: {seed: float(scale.to(x)) for seed, x in good[n].items()} for n in rivals}
    leader = max(rivals, key=lambda name: _lead(name, points))
    found = {n: Difference(good[leader], good[n], scale, margin) for n in scores if n != leader}
    tested = [name for name in found if name in rivals]
    adjusted = step_down(for_looks([found[n].p for n in tested], seeds, max_seeds))
    p = dict(zip(tested, adjusted.tolist(), strict=True))
    duels = [Duel(leader, n, _outcome(p.get(n), d), p.get(n, 1.0), d) for n, d in found.items()]
    duels.sort(key=lambda duel: (duel.outcome == "failed", duel.difference.mean))
    return Decision(scale, leader, tuple(duels))


def _lead(name: str, points: Scores) -> float:
    """The smallest mean difference to another strategy, over the seeds of both."""
    own = points[name]
    means = [
        float(np.mean([other[seed] - own[seed] for seed in common]))
        for other in points.values()
        if other is not own and (common := other.keys() & own.keys())
    ]
    return min(means, default=0.0)


def _outcome(p: float | None, difference: Difference) -> Outcome:
    if p is None:
        return "failed"
    if p > LEVEL:
        return "undecided"
    return "better" if difference.exceeds_margin else "equal"
