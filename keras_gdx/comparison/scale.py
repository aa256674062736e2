"""The scale on which scores are compared."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Scale(NamedTuple):
    """A scale on which lower is better.

    Means, differences and tests are made on the scale; results are said in the metric's units.

    Attributes:
        to: From the metric to the scale.
        back: From the scale to the metric.
        sign: 1 if lower is better in the metric, too, and -1 if higher is.
        name: What a mean on this scale is called.
    """

    to: Callable[[Any], Any]
    back: Callable[[Any], Any]
    sign: int
    name: Literal["mean", "geometric mean"]

    def gain(self, difference: ArrayLike, level: float) -> Any:
        """A difference in the metric's units, for a strategy whose mean on the scale is `level`.

        Example:
            >>> print(LOGARITHMIC.gain(np.log(2), level=np.log(0.8)))
            0.4
        """
        return self.sign * (self.back(level) - self.back(level - np.asarray(difference)))

    def difference(self, gain: float, level: float) -> float:
        """The difference on the scale that is worth `gain` in the metric's units.

        Example:
            >>> print(LOGARITHMIC.difference(0.4, level=np.log(0.8)) / np.log(2))
            1.0
        """
        with np.errstate(divide="ignore", invalid="ignore"):  # a loss cannot fall below zero
            found = level - self.to(self.back(level) - self.sign * gain)
        return float("inf") if np.isnan(found) else float(found)


LOWER = Scale(np.positive, np.positive, 1, "mean")
HIGHER = Scale(np.negative, np.negative, -1, "mean")
LOGARITHMIC = Scale(np.log, np.exp, 1, "geometric mean")


def scale_of(mode: Literal["min", "max"], scores: Iterable[float]) -> Scale:
    """Logarithmic for positive scores of which lower is better, such as losses.

    Losses vary in proportion to their size: a factor is the same at any of them.
    """
    if mode == "max":
        return HIGHER
    return LOGARITHMIC if all(score > 0 for score in scores) else LOWER
