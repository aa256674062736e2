"""Rules that are parts of other rules."""

from typing import Any

from keras_gdx.arguments import check
from keras_gdx.optimizers.base import OPTIONS, Optimizer
from keras_gdx.optimizers.options import OptionsOfTheWhole

# The options that a part leaves to the whole, with their defaults.
WHOLE = {name: OPTIONS[name] for name in OptionsOfTheWhole.__annotations__ if name in OPTIONS}


def check_part(rule: Any, argument: str) -> None:
    """Raises `ValueError` unless `rule` can be a part of another rule."""
    known = isinstance(rule, Optimizer) and not hasattr(rule, "inner")
    check(known, argument, rule, "a rule of keras_gdx, not a wrapper")
    check(not rule.evaluates_others, argument, rule, "a rule that evaluates the trained weights")
    for option, default in WHOLE.items():
        value = getattr(rule, option)
        check(value == default, f"{argument}.{option}", value, f"{default!r}; set it on the whole")
