"""Spaces of values to choose from, and the points of them that are tried."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from keras_gdx.arguments import PositiveFloat, check
from keras_gdx.config import Configured

__all__ = ["Advised", "LogUniform", "Uniform"]


class Space(Protocol):
    """The values that an argument may have."""

    def at(self, fraction: float) -> Any:
        """The value at a fraction in [0, 1) of the space."""
        ...

    def levels(self, count: int) -> Sequence[Any]:
        """Values for a grid; of a choice, always all."""
        ...


@keras.saving.register_keras_serializable("keras_gdx")
class Uniform(Configured):
    """Numbers between two bounds, to choose from in a comparison.

    Args:
        low: Number, the lower bound.
        high: Number, the upper bound, greater than `low`.

    Example:
        >>> import keras_gdx
        >>> keras_gdx.Uniform(0.8, 1.0).at(0.5)
        0.9
    """

    def __init__(self, low: float, high: float):
        self.low = low
        self.high = high
        check(low < high, "high", high, f"greater than `low`, {low}")

    def at(self, fraction: float) -> float:
        """The value at a fraction in [0, 1] of the space."""
        return float(self.low + fraction * (self.high - self.low))

    def levels(self, count: int) -> Sequence[float]:
        """Values for a grid: the middles of equal parts."""
        return [self.at((i + 0.5) / count) for i in range(count)]


@keras.saving.register_keras_serializable("keras_gdx")
class LogUniform(Uniform):
    """Numbers between two bounds, equally dense in every order of magnitude, to choose from.

    For learning rates and other numbers whose magnitude is what matters.

    Args:
        low: Number > 0, the lower bound.
        high: Number > 0, the upper bound, greater than `low`.

    Example:
        >>> import keras_gdx
        >>> round(keras_gdx.LogUniform(1e-4, 1e-2).at(0.5), 6)
        0.001
    """

    def __init__(self, low: PositiveFloat, high: PositiveFloat):
        super().__init__(low, high)

    def at(self, fraction: float) -> float:
        """The value at a fraction in [0, 1] of the space."""
        return float(self.low * (self.high / self.low) ** fraction)


class Choice:
    """Some values, which a user writes as a list."""

    def __init__(self, values: Sequence[Any]):
        self.values = tuple(values)

    def __repr__(self) -> str:
        return repr(list(self.values))

    def at(self, fraction: float) -> Any:
        """The value at a fraction in [0, 1) of the space."""
        return self.values[int(fraction * len(self.values))]

    def levels(self, count: int) -> Sequence[Any]:
        """All values."""
        return self.values


@keras.saving.register_keras_serializable("keras_gdx")
class Advised(Configured, Choice):
    """A number that was advised, to choose from with a third and three times of it.

    A comparison says how good the advice was, if all open arguments of a strategy have one.

    Args:
        value: Number > 0, the advice. It is tried first.

    Example:
        >>> from keras_gdx.comparison.spaces import Advised
        >>> Advised(0.02).values
        (0.0067, 0.02, 0.06)
    """

    def __init__(self, value: PositiveFloat):
        self.value = value
        less, more = (float(f"{value * factor:.2g}") for factor in (1 / 3, 3))
        super().__init__((less, value, more))


def advised(space: Mapping[str, Space]) -> dict[str, float] | None:
    """The value that each argument was advised to have; `None` if one has no such value."""
    found = {name: each.value for name, each in space.items() if isinstance(each, Advised)}
    return found if found and len(found) == len(space) else None


def halton(space: Mapping[str, Space], count: int, seed: int) -> list[dict[str, Any]]:
    """Values that cover a space evenly, however many of them are taken.

    Spaces with as many arguments get the same points.

    Source: Halton 1960; randomly shifted as by Cranley and Patterson 1976
    """
    shift = np.random.default_rng(seed).random(len(space))
    places = np.stack([_radical_inverse(count, base) for base in _primes(len(space))], axis=-1)
    return [
        {name: s.at(u) for (name, s), u in zip(space.items(), row, strict=True)}
        for row in ((places + shift) % 1.0).tolist()
    ]


def grid(space: Mapping[str, Space], count: int) -> list[dict[str, Any]]:
    """At most `count` values on a grid, with equally many levels of each interval.

    Raises:
        ValueError: If all combinations of choices alone are more than that.
    """
    levels = 1
    while _size(space, levels + 1) <= count and _size(space, levels) < _size(space, levels + 1):
        levels += 1
    needed = _size(space, levels)
    check(needed <= count, "trials", count, f"at least {needed} for a grid of these choices")
    axes = [s.levels(levels) for s in space.values()]
    return [dict(zip(space, point, strict=True)) for point in itertools.product(*axes)]


def combinations(space: Mapping[str, Space]) -> float:
    """The number of different values, which is infinite if a number may be any between two."""
    return math.prod(len(s.values) if isinstance(s, Choice) else math.inf for s in space.values())


def _size(space: Mapping[str, Space], levels: int) -> int:
    return math.prod(len(s.levels(levels)) for s in space.values())


def _radical_inverse(count: int, base: int) -> NDArray[np.float64]:
    """The first fractions of the van der Corput sequence: digits mirrored at the point."""
    rest, scale, found = np.arange(count), 1.0, np.zeros(count)
    while rest.any():
        scale /= base
        found += scale * (rest % base)
        rest = rest // base
    return found


def _primes(count: int) -> list[int]:
    found: list[int] = []
    for n in itertools.count(2):
        if len(found) == count:
            return found
        if all(n % p for p in found):
            found.append(n)
    return found
