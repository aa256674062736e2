"""Detects plateaus and improvements of a metric."""

import math
from typing import Any, NamedTuple, TypeVar

from keras_gdx.advice import nearest
from keras_gdx.arguments import check
from keras_gdx.report.metrics import direction

__all__ = []


class Plateau(NamedTuple):
    """The state after the values so far.

    Attributes:
        best: Best value; `None` before the first.
        wait: Values without improvement since then.
        cooldown: Remaining values that do not count.
        streak: Improvements in a row.
    """

    best: float | None = None
    wait: int = 0
    cooldown: int = 0
    streak: int = 0


USUAL = ("loss", "val_loss", "accuracy", "val_accuracy")  # metrics
State = TypeVar("State", bound=Any)  # a `Plateau`, or a named tuple with its fields


def observe(
    state: State,
    value: float,
    *,
    mode: str = "min",
    min_delta: float = 1e-4,
    relative: bool = True,
    patience: int = 10,
    cooldown: int = 0,
    rises: bool = False,
) -> tuple[State, str | None]:
    """Pure function: the new state and event after one more value of the metric.

    Args:
        state: A `Plateau`, or a named tuple that has its fields.
        value: The metric; inf and NaN are no improvement.
        mode: `"min"` or `"max"`.
        min_delta: The smallest change that is an improvement.
        relative: Whether `min_delta` is a fraction of the best value.
        patience: Values without improvement that make a plateau.
        cooldown: Values after a plateau, or a rise, that do not count.
        rises: Whether `patience` improvements in a row make a rise.

    Returns:
        The next state, and `"improved"`, `"rise"` (improved as well), `"plateau"` or `None`.

    Example:
        >>> observe(Plateau(best=1.0, wait=1), 1.5, patience=2, cooldown=3)
        (Plateau(best=1.0, wait=0, cooldown=3, streak=0), 'plateau')
    """
    resting = state.cooldown > 0
    state = state._replace(cooldown=max(state.cooldown - 1, 0))
    if _improves(value, state.best, mode, min_delta, relative):
        state = state._replace(best=value, wait=0, streak=0 if resting else state.streak + 1)
        if rises and state.streak >= patience:
            return state._replace(streak=0, cooldown=cooldown), "rise"
        return state, "improved"
    state = state._replace(streak=0)
    if resting:
        return state, None
    if state.wait + 1 < patience:
        return state._replace(wait=state.wait + 1), None
    return state._replace(wait=0, cooldown=cooldown), "plateau"


def mode_of(monitor: str, mode: str, of: object = None) -> str:
    """Returns `"min"` or `"max"`, by the metric's name if `mode` is `"auto"`.

    Raises:
        ValueError: If the name does not tell.
    """
    found: str | None = direction(monitor) if mode == "auto" else mode
    if found is None:
        allowed = "a metric whose name tells if lower is better, or `mode` be 'min' or 'max'"
        check(False, "monitor", monitor, allowed, of, nearest(monitor, USUAL))
    return str(found)


def _improves(
    value: float, best: float | None, mode: str, min_delta: float, relative: bool
) -> bool:
    if best is None or not math.isfinite(value):
        return math.isfinite(value)
    margin = min_delta * abs(best) if relative else min_delta
    return value < best - margin if mode == "min" else value > best + margin
