"""Validates the options that every optimizer has."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypedDict

from keras_gdx.advice import as_list
from keras_gdx.arguments import (
    Fraction,
    NonNegative,
    Positive,
    PositiveFloat,
    PositiveInt,
    Tensor,
    check,
    is_number,
)
from keras_gdx.backends import NAME
from keras_gdx.engine.hyperparameters import Scalars
from keras_gdx.registry import REGISTRY


class AnyModifier(Protocol):
    """A `Modifier`, whose module imports this one."""

    @property
    def uses_global_stats(self) -> bool: ...

    def run(
        self,
        optimizer: Any,
        h: Scalars,
        slots: dict[str, Tensor],
        x: Tensor,
        g: Tensor,
        w: Tensor,
    ) -> Tensor: ...


class OptionsOfTheWhole(TypedDict, total=False):
    """The options of `Optimizer` that a rule which is part of another one leaves to that.

    `Optimizer` describes them; a test keeps both equal.
    """

    no_decay: Literal["auto"] | Sequence[Any]
    lr_multipliers: Mapping[str, float] | None
    state_dtype: Literal["float32", "bfloat16", "float16", "int8"] | None
    shard_state: bool
    reduce_dtype: Literal["bfloat16", "float16"] | None
    precision: Literal["kahan", "stochastic"] | None
    sparse: Literal["dense", "lazy"]
    skipped: Literal["rest", "decay"]
    fused: Literal["auto"] | bool
    skip_nonfinite: bool
    clipnorm: Positive | None
    global_clipnorm: Positive | None
    clipvalue: Positive | None
    use_ema: bool
    ema_momentum: Fraction
    ema_overwrite_frequency: PositiveInt | None
    loss_scale_factor: PositiveFloat | None
    gradient_accumulation_steps: PositiveInt | None
    name: str | None


class OptionsExceptDecay(OptionsOfTheWhole, total=False):
    """The options that every rule takes, for editors and type checkers."""

    decay: Literal["plain", "cautious"]
    before: Sequence[AnyModifier]
    after: Sequence[AnyModifier]


class Options(OptionsExceptDecay, total=False):
    """As above, for rules without a `weight_decay` of their own."""

    weight_decay: NonNegative | None


WITHOUT_TENSORFLOW = {
    "precision": (None, "kahan"),
    "sparse": ("dense",),
    "shard_state": (False,),
    "reduce_dtype": (None,),
}
CLIPS = ("clipnorm", "global_clipnorm", "clipvalue")


def check_options(optimizer: Any) -> None:
    """Normalizes the options; raises `ValueError` for invalid values or combinations."""
    if optimizer.no_decay != "auto":
        optimizer.no_decay = _no_decay(optimizer)
    optimizer.lr_multipliers = _multipliers(optimizer)
    optimizer.before = _modifiers(optimizer, "before")
    optimizer.after = _modifiers(optimizer, "after")
    _check_backend(optimizer)
    _check_together(optimizer)


def _check_backend(optimizer: Any) -> None:
    for name, portable in WITHOUT_TENSORFLOW.items():
        value = getattr(optimizer, name)
        possible = NAME == "tensorflow" or value in portable
        allowed = " or ".join(map(repr, portable))
        allowed = f"{allowed} without Keras' TensorFlow backend"
        check(possible, name, value, allowed, of=optimizer)


def _check_together(optimizer: Any) -> None:
    shared = [m for m in optimizer.after if any(m is other for other in optimizer.before)]
    allowed = "modifiers that are not in `before` too"
    check(not shared, "after", optimizer.after, allowed, of=optimizer)
    clips = {name: getattr(optimizer, name) for name in CLIPS}
    given = {name: value for name, value in clips.items() if value is not None}
    check(len(given) <= 1, "clipnorm", given, "the only clipping option", of=optimizer)
    for rule in optimizer.all_rules():
        _check_statistics(optimizer, rule)
    if optimizer.shard_state:
        allowed = "'dense' with `shard_state`"
        check(optimizer.sparse == "dense", "sparse", optimizer.sparse, allowed, of=optimizer)
    if optimizer.skipped == "decay":
        allowed = '"rest" unless `sparse` is "lazy"'
        check(optimizer.sparse == "lazy", "skipped", "decay", allowed, of=optimizer)
        allowed = f'"rest" for {type(optimizer).__name__}'
        check(optimizer.catches_up(), "skipped", "decay", allowed, of=optimizer)
    if optimizer.sparse == "lazy":
        mixing = [
            m
            for m in (optimizer, *optimizer.before, *optimizer.after)
            if not (m.by_rows or m.elementwise)
        ]
        if mixing:
            raise ValueError(
                f'Argument `sparse` cannot be "lazy": {type(mixing[0]).__name__} needs all rows.'
            )


def _check_statistics(optimizer: Any, rule: Any) -> None:
    """Checks that what `global_stats` reads is there, for the optimizer or one of its parts."""
    if optimizer.shard_state:
        allowed = f"False for {type(rule).__name__}"
        check(rule.divisible, "shard_state", True, allowed, of=optimizer)
    for modifier in rule.surveyors:
        if modifier not in rule.before[:1]:  # it then needs all slots, rows and weights
            first = f"the default with {type(modifier).__name__}, except as the first in `before`"
            check(not optimizer.shard_state, "shard_state", True, first, of=optimizer)
            check(optimizer.sparse == "dense", "sparse", optimizer.sparse, first, of=optimizer)


def patterns(name: str, value: Any, of: object) -> tuple[str, ...]:
    """The regular expressions as a tuple; raises `ValueError` if one is invalid."""
    listed, advice = isinstance(value, (list, tuple)), as_list(name, value)
    check(listed, name, value, "a list of regular expressions", of, advice)
    for pattern in value:
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            raise ValueError(
                f"Argument `{name}` of {type(of).__name__} has a bad pattern {pattern!r}: {error}"
            ) from error
    return tuple(value)


def _no_decay(optimizer: Any) -> tuple[Any, ...]:
    value = optimizer.no_decay
    listed, advice = isinstance(value, (list, tuple)), as_list("no_decay", value)
    check(listed, "no_decay", value, '"auto" or a list of patterns', optimizer, advice)
    entries = [tuple(x) if isinstance(x, (list, tuple)) else x for x in value]
    for entry in entries:
        if isinstance(entry, tuple):
            valid = [type(x) for x in entry] == [str, int] and entry[1] >= 0
            allowed = "made of patterns, or of paths with a number >= 0"
            check(valid, "no_decay", value, allowed, of=optimizer)
    patterns("no_decay", [x for x in entries if not isinstance(x, tuple)], optimizer)
    return tuple(entries)


def _modifiers(optimizer: Any, name: str) -> tuple[Any, ...]:
    modifiers = getattr(optimizer, name)
    several = isinstance(modifiers, (list, tuple))
    listed = tuple(modifiers) if several else (modifiers,)
    valid = several and all(hasattr(m, "run") and not isinstance(m, type) for m in listed)
    distinct = valid and len({id(m) for m in listed}) == len(listed)
    allowed = f"a list of modifiers, each an instance of its own: {name}=[{_example(name, listed)}]"
    check(distinct, name, modifiers, allowed, of=optimizer)
    for each in listed:
        sides = " or ".join(f"`{side}`" for side in each.sides)
        allowed = f"without {type(each).__name__}, which belongs in {sides}"
        check(name in each.sides, name, modifiers, allowed, of=optimizer)
    return listed


def _example(name: str, meant: Sequence[Any]) -> str:
    """Code for the modifiers that were probably meant, or for a common one, for the error."""
    words = [
        str(getattr(m, "__name__", m if isinstance(m, str) else type(m).__name__)) for m in meant
    ]
    entries = [REGISTRY.get(word.lower()) for word in words]
    known = [entry.cls.__name__ for entry in entries if entry and entry.kind == "modifier"]
    usual = ["Centralize" if name == "before" else "Cautious"]
    return ", ".join(f"modifiers.{word}()" for word in known or usual)


def _multipliers(optimizer: Any) -> dict[str, float] | None:
    multipliers = optimizer.lr_multipliers
    if multipliers is None:
        return None
    valid = isinstance(multipliers, dict) and all(
        is_number(x) and 0 <= x < float("inf") for x in multipliers.values()
    )
    allowed = "a dictionary from regular expressions to numbers >= 0"
    check(valid, "lr_multipliers", multipliers, allowed, of=optimizer)
    patterns("lr_multipliers", tuple(multipliers), optimizer)
    return dict(multipliers)
