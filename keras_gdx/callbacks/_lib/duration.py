"""Parses durations."""

import math
import re

from keras_gdx.config import check, is_number

__all__ = []

UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
WORDS = r"(d)(?:ays?)?|(h)(?:ours?)?|(m)(?:in(?:ute)?s?)?|(s)(?:ec(?:ond)?s?)?"
PART = rf"(\d+(?:\.\d+)?)\s*(?:{WORDS})(?![a-z])"


DURATION = "a number of seconds > 0, or a text such as '2h30m', '90s' or '1.5 hours'"


def seconds(name, value, allowed=DURATION):
    """Converts a duration such as `"2h30m"`, `"90 s"` or `"1.5 hours"`, or a number, to seconds.

    Args:
        name: The argument that has the duration.
        value: The duration.
        allowed: What the argument may be, for the error.

    Raises:
        ValueError: If `value` is not a duration, or not above 0.
    """
    if isinstance(value, str):
        text = value.strip().lower()
        check(re.fullmatch(rf"(?:{PART}\s*)+", text), name, value, allowed)
        found = sum(float(n) * UNITS["".join(unit)] for n, *unit in re.findall(PART, text))
    else:
        check(is_number(value) and math.isfinite(value), name, value, allowed)
        found = float(value)
    check(found > 0, name, value, allowed)
    return found
