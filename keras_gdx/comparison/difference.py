"""By how much one strategy is better than another one, over the same seeds."""

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from keras_gdx.comparison.scale import Scale
from keras_gdx.comparison.statistics import (
    improvement,
    seeds_for,
    sign_flip_test,
    t_interval,
    t_test,
)

POWER = 0.8  # the chance that `needed_seeds` give a decision


class Difference:
    """By how much one strategy is better than another one, over the seeds of both.

    Numbers are in the metric's units. For a logarithmic scale they are those of a strategy with
    the other one's mean.

    Args:
        first: The scores of the one, by seed.
        second: The scores of the other.
        scale: The scale of the test.
        margin: Number >= 0, the difference that matters.
    """

    def __init__(
        self, first: Mapping[int, float], second: Mapping[int, float], scale: Scale, margin: float
    ):
        self.seeds = sorted(first.keys() & second.keys())
        self._scale = scale
        self._first = np.array([scale.to(first[seed]) for seed in self.seeds], "float64")
        self._second = np.array([scale.to(second[seed]) for seed in self.seeds], "float64")
        self._gains = self._second - self._first
        self._level = float(self._second.mean()) if self.seeds else math.nan
        self._margin = self._on_scale(margin)

    def _on_scale(self, gain: float) -> float:
        return self._scale.difference(gain, self._level) if self.seeds else 0.0

    def _gain(self, difference: Any) -> Any:
        return self._scale.gain(difference, self._level)

    @property
    def n(self) -> int:
        """The number of seeds."""
        return len(self.seeds)

    @cached_property
    def mean(self) -> float:
        """The mean difference; positive if the first strategy is better."""
        return float(self._gain(self._gains.mean())) if self.seeds else math.nan

    @property
    def exceeds_margin(self) -> bool:
        """Whether the mean difference is larger than the margin."""
        return bool(self.seeds) and bool(self._gains.mean() > self._margin)

    def interval(self, level: float) -> tuple[float, float]:
        """Student's interval of the mean difference, with confidence 1 - `level`."""
        if not self.seeds:
            return -math.inf, math.inf
        low, high = self._gain(t_interval(self._gains, level)).tolist()
        return low, high

    @cached_property
    def p(self) -> float:
        """The p value of Student's paired test that the difference is not the margin."""
        return float(t_test(self._gains, self._margin)) if self.seeds else 1.0

    @cached_property
    def sign_flip(self) -> float | None:
        """That of the sign-flip test; `None` with fewer than 6 seeds."""
        return sign_flip_test((self._gains - self._margin).tolist())

    @cached_property
    def improvement(self) -> float:
        """The probability that one run of the first is better than one of the second."""
        return improvement(self._first, self._second) if self.seeds else math.nan

    @cached_property
    def by_seed(self) -> dict[int, float]:
        """The difference of each seed."""
        gains = self._gain(self._gains).tolist() if self.seeds else []
        return dict(zip(self.seeds, gains, strict=True))

    def needed_seeds(self, level: float, delta: float | None = None) -> int | None:
        """The seeds with which a difference would be found in 80 % of experiments.

        Args:
            level: Number in (0, 1), that of the test.
            delta: The true difference; the mean of those seen if `None`.

        Returns:
            An integer, or `None` if it cannot be said or is above a million.
        """
        if self.n < 2:
            return None
        gain = self._gains.mean() if delta is None else self._on_scale(delta)
        deviation = self._gains.std(ddof=1)
        if deviation == 0:
            return 2 if gain != self._margin else None
        return seeds_for(float((gain - self._margin) / deviation), level, POWER)
