"""Decides which strategy is best, from the scores of its final runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from keras_gdx.comparison.scale import Scale, scale_of
from keras_gdx.comparison.statistics import (
    for_looks,
    improvement,
    level_for_looks,
    sign_flip_test,
    step_down,
    t_interval,
    t_test,
)

LEVEL = 0.05  # the chance of a false decision

Scores = Mapping[str, Mapping[int, float]]  # by strategy and seed
Outcome = Literal["better", "equal", "undecided", "failed"]


@dataclass(frozen=True)
class Difference:
    """By how much the leader is better than another strategy, in the metric's units.

    Attributes:
        leader: The strategy with the best scores.
        other: The other strategy.
        outcome: `"better"` if the leader is better, by more than the margin; `"equal"` if it is
            not, which only a margin can show; `"undecided"`; or `"failed"` if the other strategy
            is out because runs of it failed.
        mean: The mean difference; positive if the leader is better.
        low: The lower bound of its interval.
        high: The upper bound.
        p: The p value, adjusted for all strategies and for all tests while seeds were added.
        improvement: The probability that one run of the leader is better than one of the other.
        by_seed: The difference of each seed.
        tested: The differences on the scale of the test, without the margin.
    """

    leader: str
    other: str
    outcome: Outcome
    mean: float = math.nan
    low: float = -math.inf
    high: float = math.inf
    p: float = math.nan
    improvement: float = math.nan
    by_seed: Mapping[int, float] = field(default_factory=dict)
    tested: tuple[float, ...] = ()

    @property
    def n(self) -> int:
        """The number of seeds."""
        return len(self.tested)

    @property
    def deviation(self) -> float:
        """The standard deviation of the differences, on the scale of the test."""
        return float(np.std(self.tested, ddof=1)) if self.n > 1 else math.nan

    @property
    def sign_flip(self) -> float | None:
        """The p value of a sign-flip test, unadjusted; `None` with fewer than 6 seeds."""
        return sign_flip_test(self.tested)


@dataclass(frozen=True)
class Decision:
    """The leader, and its difference to each other strategy.

    Attributes:
        scale: The scale of means and tests.
        leader: The strategy with the best scores, or `None` if all runs failed.
        differences: Those to all others: first where the leader is closest.
    """

    scale: Scale
    leader: str | None
    differences: tuple[Difference, ...]

    @property
    def best(self) -> str | None:
        """The leader, if it is better than each strategy that may be best."""
        rivals = [d for d in self.differences if d.outcome != "failed"]
        return self.leader if all(d.outcome == "better" for d in rivals) else None

    @property
    def undecided(self) -> tuple[str, ...]:
        """The strategies of which more seeds may decide."""
        found = [d.other for d in self.differences if d.outcome == "undecided"]
        return (self.leader, *found) if self.leader and found else ()


def decide(
    scores: Scores, mode: Literal["min", "max"], margin: float, seeds: int, max_seeds: int
) -> Decision:
    """Compares the strategy that has the best scores with each other one.

    A strategy with a failed run is out if another one has none. If each has some, they are
    compared by the seeds of which both runs were completed.

    The leader is better than another strategy if the p value of their paired t test is at most
    5 %, after two adjustments: `step_down` for the choice of the leader and for the number of
    strategies, `for_looks` for a decision after each seed from `seeds` to `max_seeds`. So the
    chance of any false decision in the experiment is at most 5 %.

    Args:
        scores: The score of each final run; not finite if it failed.
        mode: Whether lower or higher is better.
        margin: Number >= 0, the difference that matters, in the metric's units.
        seeds: The number of seeds at the first decision.
        max_seeds: That at the last one.
    """
    good = {
        name: {seed: x for seed, x in each.items() if math.isfinite(x)}
        for name, each in scores.items()
    }
    completed = [name for name in scores if good[name]]
    scale = scale_of(mode, [x for each in good.values() for x in each.values()])
    if not completed:
        return Decision(scale, None, ())
    points = {n: {s: float(scale.to(x)) for s, x in good[n].items()} for n in good}
    whole = [name for name in completed if len(good[name]) == len(scores[name])]
    rivals = whole or completed
    leader = max(rivals, key=lambda name: _lead(name, rivals, points))
    others = [name for name in rivals if name != leader]
    pairs = {other: _Pair(points[leader], points[other], scale, margin) for other in scores}
    p = step_down([for_looks(pairs[name].p, seeds, max_seeds) for name in others])
    adjusted = dict(zip(others, p.tolist(), strict=True))
    level = level_for_looks(LEVEL, seeds, max_seeds)
    differences = [
        pairs[name].difference(leader, name, adjusted.get(name), level)
        for name in scores
        if name != leader
    ]
    # The closest first; those that are out have no p value.
    order = sorted(differences, key=lambda d: (d.outcome == "failed", -np.nan_to_num(d.p), d.mean))
    return Decision(scale, leader, tuple(order))


def _lead(name: str, rivals: Sequence[str], points: Scores) -> float:
    """The smallest mean difference to a rival, over the seeds of both."""
    means = [
        np.mean([points[other][seed] - points[name][seed] for seed in common])
        for other in rivals
        if other != name and (common := points[other].keys() & points[name].keys())
    ]
    return float(min(means, default=0.0))


class _Pair:
    """The leader and another strategy on the scale, over the seeds of both."""

    def __init__(
        self, leader: Mapping[int, float], other: Mapping[int, float], scale: Scale, margin: float
    ):
        self.scale = scale
        self.seeds = sorted(leader.keys() & other.keys())
        self.leader = np.array([leader[seed] for seed in self.seeds])
        self.other = np.array([other[seed] for seed in self.seeds])
        self.gains = self.other - self.leader
        self.level = float(self.other.mean()) if self.seeds else math.nan
        self.margin = scale.difference(margin, self.level) if self.seeds else 0.0
        self.p = float(t_test(self.gains, self.margin)) if self.seeds else 1.0

    def difference(self, leader: str, other: str, p: float | None, level: float) -> Difference:
        """The result in the metric's units.

        Args:
            leader: The leader's name.
            other: The other strategy's name.
            p: The adjusted p value; `None` for a strategy that is out.
            level: 1 - the confidence of the interval.
        """
        outcome: Outcome = "undecided"
        if p is None:
            outcome = "failed"
        elif p <= LEVEL:
            outcome = "better" if self.gains.mean() > self.margin else "equal"
        if not self.seeds:
            return Difference(leader, other, outcome)
        bounds = [self.gains.mean(), *t_interval(self.gains, level)]
        mean, low, high = self.scale.gain(bounds, self.level).tolist()
        by_seed = self.scale.gain(self.gains, self.level).tolist()
        return Difference(
            leader,
            other,
            outcome,
            mean,
            low,
            high,
            math.nan if p is None else p,
            improvement(self.leader, self.other),
            dict(zip(self.seeds, by_seed, strict=True)),
            tuple((self.gains - self.margin).tolist()),
        )
