"""Validates the options that every optimizer has."""

import re

from keras_gdx.backends import NAME
from keras_gdx.config import check, check_choice, check_integer, check_number, is_number
from keras_gdx.registry import REGISTRY

CHOICES = {
    "state_dtype": (None, "float32", "bfloat16", "float16", "int8"),
    "reduce_dtype": (None, "bfloat16", "float16"),
    "precision": (None, "kahan", "stochastic"),
    "sparse": ("dense", "lazy"),
}
WITHOUT_TENSORFLOW = {
    "precision": (None, "kahan"),
    "sparse": ("dense",),
    "shard_state": (False,),
    "reduce_dtype": (None,),
}
CLIPS = ("clipnorm", "global_clipnorm", "clipvalue")


def check_options(optimizer):
    """Normalizes the options; raises `ValueError` for invalid values or combinations."""
    if optimizer.no_decay != "auto":
        optimizer.no_decay = _no_decay(optimizer.no_decay)
    optimizer.lr_multipliers = _multipliers(optimizer.lr_multipliers)
    optimizer.before = _modifiers("before", optimizer.before)
    optimizer.after = _modifiers("after", optimizer.after)
    _check_each(optimizer)
    _check_together(optimizer)


def _check_each(optimizer):
    for name, choices in CHOICES.items():
        check_choice(name, getattr(optimizer, name), choices)
    shards, fused = optimizer.shard_state, optimizer.fused
    check(isinstance(shards, bool), "shard_state", shards, "True or False")
    check(isinstance(fused, bool) or fused == "auto", "fused", fused, "'auto', True or False")
    for name, portable in WITHOUT_TENSORFLOW.items():
        value = getattr(optimizer, name)
        possible = NAME == "tensorflow" or value in portable
        allowed = " or ".join(map(repr, portable))
        check(possible, name, value, f"{allowed} without Keras' TensorFlow backend")
    if optimizer.ema_overwrite_frequency is not None:
        check_integer("ema_overwrite_frequency", optimizer.ema_overwrite_frequency, 1)
    if optimizer.loss_scale_factor is not None:
        check_number("loss_scale_factor", optimizer.loss_scale_factor, 0, open_low=True)


def _check_together(optimizer):
    shared = [m for m in optimizer.after if any(m is other for other in optimizer.before)]
    check(not shared, "after", optimizer.after, "modifiers that are not in `before` too")
    clips = {name: getattr(optimizer, name) for name in CLIPS}
    given = {name: value for name, value in clips.items() if value is not None}
    check(len(given) <= 1, "clipnorm", given, "the only clipping option")
    if optimizer.shard_state:
        check(optimizer.divisible, "shard_state", True, f"False for {type(optimizer).__name__}")
        check(optimizer.sparse == "dense", "sparse", optimizer.sparse, "'dense' with `shard_state`")
    if optimizer.sparse == "lazy":
        mixing = [m for m in (optimizer, *optimizer.before, *optimizer.after) if not m.elementwise]
        if mixing or optimizer.state_dtype == "int8":
            raise ValueError(
                'Argument `sparse` cannot be "lazy": '
                f"{type(mixing[0]).__name__ if mixing else 'eight-bit state'} needs all rows."
            )


def patterns(name, value):
    """The regular expressions as a tuple; raises `ValueError` if one is invalid."""
    check(isinstance(value, (list, tuple)), name, value, "a list of regular expressions")
    for pattern in value:
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            raise ValueError(f"Argument `{name}` has a bad pattern {pattern!r}: {error}") from error
    return tuple(value)


def _no_decay(value):
    check(isinstance(value, (list, tuple)), "no_decay", value, '"auto" or a list of patterns')
    entries = [tuple(x) if isinstance(x, (list, tuple)) else x for x in value]
    for entry in entries:
        if isinstance(entry, tuple):
            valid = [type(x) for x in entry] == [str, int] and entry[1] >= 0
            check(valid, "no_decay", value, "made of patterns, or of paths with a number >= 0")
    patterns("no_decay", [x for x in entries if not isinstance(x, tuple)])
    return tuple(entries)


def _modifiers(name, modifiers):
    several = isinstance(modifiers, (list, tuple))
    listed = tuple(modifiers) if several else (modifiers,)
    valid = several and all(hasattr(m, "run") and not isinstance(m, type) for m in listed)
    distinct = valid and len({id(m) for m in listed}) == len(listed)
    allowed = f"a list of modifiers, each an instance of its own: {name}=[{_example(name, listed)}]"
    check(distinct, name, modifiers, allowed)
    for each in listed:
        sides = " or ".join(f"`{side}`" for side in each.sides)
        allowed = f"without {type(each).__name__}, which belongs in {sides}"
        check(name in each.sides, name, modifiers, allowed)
    return listed


def _example(name, meant):
    """Code for the modifiers that were probably meant, or for a common one, for the error."""
    words = [
        str(getattr(m, "__name__", m if isinstance(m, str) else type(m).__name__)) for m in meant
    ]
    entries = [REGISTRY.get(word.lower()) for word in words]
    known = [entry.cls.__name__ for entry in entries if entry and entry.kind == "modifier"]
    usual = ["Centralize" if name == "before" else "Cautious"]
    return ", ".join(f"modifiers.{word}()" for word in known or usual)


def _multipliers(multipliers):
    if multipliers is None:
        return None
    valid = isinstance(multipliers, dict) and all(
        is_number(x) and 0 <= x < float("inf") for x in multipliers.values()
    )
    allowed = "a dictionary from regular expressions to numbers >= 0"
    check(valid, "lr_multipliers", multipliers, allowed)
    patterns("lr_multipliers", tuple(multipliers))
    return dict(multipliers)
