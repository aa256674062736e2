"""Amounts of training, such as `"500 steps"`, `"2 epochs"` or `"10 minutes"`."""

import re
from functools import cache
from numbers import Integral
from typing import Annotated, Any, NamedTuple

from keras_gdx.arguments import Form
from keras_gdx.callbacks._lib.duration import seconds

__all__ = []

EXAMPLES = {"steps": "'500 steps'", "epochs": "'2 epochs'", "seconds": "'10 minutes'"}


class Amount(NamedTuple):
    """A number of steps (batches), epochs or seconds.

    As an interval it begins anew each time it is over; the `after_...` methods tell when.

    Attributes:
        number: How many; only seconds may be a fraction.
        unit: `"steps"`, `"epochs"` or `"seconds"`.

    Example:
        >>> Amount(4, "steps").after_steps(7, 9), Amount(2, "epochs").after_epoch(0)
        (True, False)
    """

    number: float
    unit: str

    def after_steps(self, before: int, after: int) -> bool:
        """Whether the steps from `before` to `after` reached a multiple of it."""
        return self.unit == "steps" and after // self.number > before // self.number

    def after_epoch(self, epoch: int) -> bool:
        """Whether the end of an epoch, counted from 0, reached a multiple of it."""
        return self.unit == "epochs" and (epoch + 1) % self.number == 0

    def after_seconds(self, elapsed: float) -> bool:
        """Whether it is over, `elapsed` seconds after it began."""
        return self.unit == "seconds" and elapsed >= self.number

    def is_past(self, step: int, epoch: int) -> bool:
        """Whether that many steps or epochs are complete."""
        return (epoch if self.unit == "epochs" else step) >= self.number


def amount(value: Any, units: tuple[str, ...], least: int = 1) -> Amount | None:
    """Reads an amount in one of `units`; an integer is in the first of them.

    Returns:
        The amount; `None` if `value` is none, or less than `least`.

    Example:
        >>> amount("10 minutes", ("steps", "seconds")), amount(3, ("steps", "seconds"))
        (Amount(number=600.0, unit='seconds'), Amount(number=3, unit='steps'))
    """
    if isinstance(value, str):
        found = _read(value)
    elif isinstance(value, Integral) and not isinstance(value, bool):
        found = Amount(int(value), units[0])
    else:
        return None
    return found if found and found.unit in units and found.number >= least else None


def amount_in(*units: str, least: int = 1) -> Form:
    """The form of an argument that is an amount in one of `units`; an integer is in the first."""
    *texts, last = [EXAMPLES[unit] for unit in units]
    written = f"{', '.join(texts)} or {last}" if texts else last
    return Form(
        lambda value: amount(value, units, least),
        f"an amount such as {written}, or an integer >= {least}: a number of {units[0]}",
    )


@cache
def _read(text: str) -> Amount | None:
    text = text.strip().lower()
    if found := re.fullmatch(r"(?:(\d+) *)?(?:(steps?|batch(?:es)?)|epochs?)", text):
        return Amount(int(found[1] or 1), "steps" if found[2] else "epochs")
    length = seconds(text)
    return None if length is None else Amount(length, "seconds")


Every = Annotated[int | str, amount_in("steps", "epochs", "seconds")]
EveryCount = Annotated[int | str, amount_in("steps", "epochs")]
Moment = Annotated[int | str, amount_in("steps", "epochs", least=0)]
