"""Everything that decides the result of a comparison."""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, get_type_hints

from keras_gdx.arguments import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    check,
    check_type,
)
from keras_gdx.comparison.budget import Budget
from keras_gdx.comparison.encoding import decode, encode
from keras_gdx.comparison.strategies import Strategy

KEPT = 3  # successive halving keeps one trial in this many at each rung
Search = Literal["halton", "grid", "tpe"]


@dataclass(frozen=True)
class Settings:
    """Everything that decides the result of a comparison; see `keras_gdx.compare`.

    Attributes:
        build: Function that returns a model.
        data: The data, or a function that returns it.
        test: Test data, or `None`.
        strategies: What is compared, by name.
        loss: For `compile`.
        metric: A name in the logs, such as `"val_loss"`.
        mode: Whether lower or higher is better.
        budget: What each run may use.
        batch_size: Examples in a batch, for strategies without one of their own.
        evaluations: The number of evaluations in a run, at even intervals.
        trials: The number of trials of each strategy that has a space.
        search: How their values are chosen.
        search_seed: The seed of all trials; those that report are the ones after it.
        prune: Whether trials may be ended early.
        seeds: Runs of each strategy that report.
        max_seeds: Their maximum, while a difference is not decided.
        margin: The difference that matters, or `None`.
        target: Value of the metric whose time is compared, or the name of the strategy whose median
            score it is, or `None`.
    """

    build: Any
    data: Any
    test: Any
    strategies: dict[str, Strategy]
    loss: Any
    metric: str
    mode: Literal["min", "max"]
    budget: Budget
    batch_size: PositiveInt
    evaluations: PositiveInt
    trials: PositiveInt
    search: Search
    search_seed: NonNegativeInt
    prune: Literal["asha"] | None
    seeds: PositiveInt
    max_seeds: PositiveInt
    margin: NonNegativeFloat | None
    target: float | str | None

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self), include_extras=True).items():
            check_type(name, getattr(self, name), hint)
        has_rungs = self.prune is None or self.evaluations >= KEPT
        check(has_rungs, "evaluations", self.evaluations, f"at least {KEPT} to prune")
        enough = self.max_seeds >= self.seeds
        check(self.metric.startswith("val_"), "metric", self.metric, "a name that begins with val_")
        check(enough, "max_seeds", self.max_seeds, f"at least `seeds`, {self.seeds}")
        known = not isinstance(self.target, str) or self.target in self.strategies
        check(known, "target", self.target, f"a number, or one of {[*self.strategies]}")

    def encoded(self, arrays: MutableMapping[str, Any]) -> dict[str, Any]:
        """The settings as JSON, by name; `arrays` receives the arrays, by name."""
        return {f.name: encode(getattr(self, f.name), arrays) for f in fields(self)}

    @classmethod
    def decoded(cls, settings: Mapping[str, Any], arrays: Mapping[str, Any]) -> Self:
        """Undoes `encoded`.

        Raises:
            ValueError: If something cannot be restored in another process.
        """
        given = {name: decode(value, arrays) for name, value in settings.items()}
        given["budget"] = Budget(**given["budget"])
        given["strategies"] = {n: Strategy(**each) for n, each in given["strategies"].items()}
        return cls(**given)

    def final_seed(self, index: int) -> int:
        """The seed of the runs with this index that report."""
        return self.search_seed + 1 + index

    def is_better(self, value: float, other: float) -> bool:
        """Whether a value of the metric is better than another one."""
        return value < other if self.mode == "min" else value > other

    @property
    def worst(self) -> float:
        """The score of a run that failed."""
        return float("inf") if self.mode == "min" else float("-inf")
