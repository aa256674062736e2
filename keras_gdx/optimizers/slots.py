"""What an optimizer remembers about a variable between two steps."""

import math
from collections.abc import Callable
from dataclasses import dataclass

Shape = tuple[int, ...]
UNSET = math.nan  # a slot without a value yet: it is in every dtype, and no gradient leads to it


@dataclass(frozen=True)
class Slot:
    """A piece of state per variable.

    Attributes:
        name: Its name in the code and in files, e.g. `"momentum"`.
        init: Its first value: a number; `UNSET` if it has none until the variable's first update
            (`keras_gdx.math.started` asks); or `"variable"` for a copy of the variable.
            Such a copy is a weight, not a statistic: `state_dtype` leaves it alone.
        shape: Maps the variable's shape to the slot's. `None` as a result means that
            this variable has no such slot, and the rule is given `None` for it.
        signed: `False` promises values >= 0, so that eight bits can all hold magnitude.
        when: Argument of the rule (modifiers have none) without which the slot is not
            needed. While it is `False` or 0 nothing is stored, and the rule is given 0.
    """

    name: str
    init: float | str = 0.0
    shape: Callable[[Shape], Shape | None] = tuple
    signed: bool = True
    when: str | None = None
