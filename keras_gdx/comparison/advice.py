"""How good an advice was: as it stood, without a search, against what searches found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from keras_gdx.comparison.difference import Difference
from keras_gdx.comparison.run import Run
from keras_gdx.comparison.summary import StrategySummary
from keras_gdx.comparison.verdict import between, in_words
from keras_gdx.report.markup import Row, said

NAMED = 3  # strategies in a sentence; the table has all


@dataclass(frozen=True)
class Advice:
    """The values that were advised for a strategy, and what they are worth.

    Attributes:
        strategy: The strategy.
        values: The advised values.
        trial: The trial with these values.
        rivals: The strategy's other trials.
        others: The trials of other strategies.
        runs: The runs that report with these values.
        differences: By how much what was found for each strategy is better than the advice, the
            best strategy first. Without this strategy, if nothing better was found for it.
    """

    strategy: StrategySummary
    values: Mapping[str, float]
    trial: Run
    rivals: Sequence[Run]
    others: Sequence[Run]
    runs: Sequence[Run]
    differences: Mapping[str, Difference]

    def beaten(self, trials: Sequence[Run]) -> int:
        """The number of these trials that are worse than the one with the advised values."""
        sign = self.strategy.scale.sign
        own = sign * self.trial.score
        return sum(run.status != "completed" or sign * run.score > own for run in trials)

    def sentences(self, margin: float, level: float) -> Iterator[str]:
        """How good the advice was.

        Args:
            margin: The difference that matters.
            level: 1 - the confidence of intervals.
        """
        what = f"The advice for {self.strategy.name}, {in_words(self.values)},"
        if self.trial.status != "completed":
            yield f"{what} is not good: its trial {self.trial.status}."
            return
        places = [
            f"{self.beaten(trials)} of the {len(trials)} {whose}"
            for trials, whose in (
                (self.rivals, "other trials of its space"),
                (self.others, "trials of other strategies"),
            )
            if trials
        ]
        rank = f"was better than {' and '.join(places)}" if places else "was the only trial"
        yield f"{what} {rank}{self._found()}."
        failed = [run for run in self.runs if run.status != "completed"]
        if failed:
            yield f"Without a search, {len(failed)} of {len(self.runs)} runs failed."
        known = [name for name, each in self.differences.items() if each.n]
        if known:
            told = [self._against(name, level) for name in known[:NAMED]]
            yield f"Without a search, it is {'; '.join(told)}."
            if margin:
                yield _next_to(margin, *self.differences[known[0]].interval(level))

    def rows(self, strategies: Mapping[str, StrategySummary], level: float) -> Iterator[Row]:
        """One row for each difference."""
        for name, each in self.differences.items():
            low, high = each.interval(level)
            yield {
                "advice for": self.strategy.name,
                "advised": in_words(self.values),
                "against": name,
                "with": in_words(strategies[name].values),
                "behind by": each.mean,
                "at least": low,
                "at most": high,
                "runs": each.n,
            }

    def _found(self) -> str:
        found = self.strategy.values
        if not found:
            return ""
        better = found != self.values
        return f"; {', '.join(map(said, found.values())) if better else 'nothing better'} was found"

    def _against(self, name: str, level: float) -> str:
        """How far the advice is behind a strategy, or ahead of it."""
        found = self.differences[name]
        rival = "what was found for it" if name == self.strategy.name else name
        low, high = found.interval(level)
        if found.mean < 0:
            return f"ahead of {rival} by {between(-found.mean, -high, -low)}, n={found.n}"
        return f"behind {rival} by {between(found.mean, low, high)}, n={found.n}"


def _next_to(margin: float, low: float, high: float) -> str:
    """What the interval of the difference to the best strategy says about the margin."""
    if high < margin:
        return f"Against the best of these, it loses less than the margin of {said(margin)}."
    if low > margin:
        return f"Against the best of these, it loses more than the margin of {said(margin)}."
    return f"It is not decided whether it loses less than the margin of {said(margin)}."
