"""What one training run of a comparison did."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Self

from keras_gdx.comparison.encoding import decode

Phase = Literal["search", "final"]
Status = Literal["completed", "diverged", "crashed", "timed out", "pruned"]


class Evaluation(NamedTuple):
    """The metric of a comparison at one moment of a run."""

    step: int
    seconds: float
    value: float


@dataclasses.dataclass(frozen=True)
class Run:
    """One training run: a strategy with fixed values, from one seed.

    Attributes:
        strategy: The strategy's name.
        phase: `"search"` if the run chose among values, `"final"` if it reports.
        trial: The number of the values among those of the strategy's space.
        seed: The seed of weights, data order and random layers.
        values: The values drawn from the space, by argument.
        status: How it ended.
        score: The metric at the end; not finite for every status but `"completed"`.
        curve: The metric at each evaluation.
        steps: Optimizer updates.
        seconds: Wall-clock time of the training, without evaluations.
        state_bytes: Size of the optimizer's state.
        joules: Energy, or None where it cannot be measured.
        test: The metric on the test data at the end of a final run, or None.
        message: What went wrong.
    """

    strategy: str
    phase: Phase
    trial: int
    seed: int
    values: dict[str, Any]
    status: Status
    score: float
    curve: tuple[Evaluation, ...]
    steps: int
    seconds: float
    state_bytes: int
    joules: float | None = None
    test: float | None = None
    message: str = ""

    @classmethod
    def decoded(cls, written: Mapping[str, Any]) -> Self:
        """Restores a run from JSON."""
        values = decode(written["values"], {})
        curve = tuple(Evaluation(*each) for each in written["curve"])
        return cls(**{**written, "values": values, "curve": curve})
