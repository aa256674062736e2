"""Durations."""

import math
import re
from functools import cache
from typing import Annotated, Any

from keras_gdx.arguments import Form, is_number

__all__ = []

UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
WORDS = r"(d)(?:ays?)?|(h)(?:ours?)?|(m)(?:in(?:ute)?s?)?|(s)(?:ec(?:ond)?s?)?"
PART = rf"(\d+(?:\.\d+)?)\s*(?:{WORDS})(?![a-z])"


def seconds(value: Any) -> float | None:
    """Converts a duration such as `"2h30m"`, `"90 s"` or `"1.5 hours"`, or a number, to seconds.

    Returns:
        A number > 0, or `None` if `value` is no duration.

    Example:
        >>> seconds("2h30m"), seconds("soon")
        (9000.0, None)
    """
    if isinstance(value, str):
        value = _read(value.strip().lower())
    return float(value) if is_number(value) and math.isfinite(value) and value > 0 else None


@cache
def _read(text: str) -> float | None:
    if not re.fullmatch(rf"(?:{PART}\s*)+", text):
        return None
    return sum(float(n) * UNITS["".join(unit)] for n, *unit in re.findall(PART, text))


Duration = Annotated[
    float | str,
    Form(seconds, "a number of seconds > 0, or a text such as '2h30m', '90s' or '1.5 hours'"),
]
