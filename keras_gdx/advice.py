"""What to type instead: the last sentences of error messages."""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from math import isfinite
from typing import Any, Literal, get_args, get_origin

from keras import Variable
from keras.optimizers.schedules import LearningRateSchedule

# Arguments as other libraries, or other classes here, call them.
NAMES = {
    "accumulate": ("gradient_accumulation_steps",),
    "accumulate_grad_batches": ("gradient_accumulation_steps",),
    "accumulation_steps": ("gradient_accumulation_steps",),
    "base_lr": ("learning_rate", "initial_learning_rate"),
    "betas": ("beta_1", "beta_2"),
    "clip_grad": ("global_clipnorm",),
    "ema": ("use_ema",),
    "ema_decay": ("ema_momentum",),
    "eps": ("epsilon",),
    "exclude_from_weight_decay": ("no_decay",),
    "filepath": ("directory", "path"),
    "frequency": ("every",),
    "grad_clip": ("global_clipnorm",),
    "gradient_clip_val": ("global_clipnorm",),
    "init_lr": ("learning_rate", "initial_learning_rate"),
    "init_value": ("initial_learning_rate",),
    "initial_learning_rate": ("learning_rate",),
    "learning_rate": ("initial_learning_rate",),
    "lr": ("learning_rate", "initial_learning_rate"),
    "lr_max": ("learning_rate", "initial_learning_rate"),
    "max_grad_norm": ("global_clipnorm",),
    "max_lr": ("max_learning_rate", "high"),
    "max_norm": ("global_clipnorm",),
    "metric": ("monitor",),
    "min_learning_rate": ("min_lr",),
    "min_lr": ("min_learning_rate", "low"),
    "momentum": ("beta_1",),
    "num_training_steps": ("total_steps", "decay_steps"),
    "num_warmup_steps": ("warmup_steps", "warmup"),
    "period": ("every",),
    "save_freq": ("every",),
    "T_max": ("total_steps", "decay_steps"),
    "total_steps": ("decay_steps",),
    "update_freq": ("every",),
    "warmup_ratio": ("warmup",),
    "warmup_steps": ("warmup",),
    "wd": ("weight_decay",),
    "weight_decay_rate": ("weight_decay",),
}
BOTH = ("betas",)  # all of the names together stand for it
ALIKE = 0.7  # how much a name must have in common with the one that is suggested

# What is said in another place.
WARMUP = "A warmup is written schedules.Warmup(schedule, warmup_steps)."
EXECUTION = "How updates are executed is chosen by itself; see `fused`."
VARIABLES = "An optimizer of Keras is not given its variables: `compile` lets it find them."
ELSEWHERE = {
    "eta_min": "The lowest rate of a cosine is `alpha`, a share of the first one.",
    "foreach": EXECUTION,
    "jit_compile": "It is an argument of `model.compile`.",
    "num_warmup_steps": WARMUP,
    "params": VARIABLES,
    "warmup": WARMUP,
    "warmup_ratio": WARMUP,
    "warmup_steps": WARMUP,
    "warmup_target": WARMUP,
}
SHARES = (
    "It is a number of updates. `keras_gdx.schedules.create` takes shares of the run: "
    "create('cosine', 1e-3, warmup=0.05)."
)
DECAY = (
    "A number for weight decay is `weight_decay`; a rate that falls is a schedule, such as "
    "learning_rate=keras_gdx.schedules.create('cosine', 1e-3)."
)


def nearest(name: Any, known: Iterable[str], prefix: str = "") -> str:
    """Names the nearest of `known`, with the prefix; nothing if none is near."""
    by_letters = {_letters(each): each for each in known}
    near = get_close_matches(_letters(str(name)), by_letters, 1, ALIKE)
    return f" Did you mean {prefix + by_letters[near[0]]!r}?" if near else ""


def _letters(name: str) -> str:
    return re.sub(r"[\s_-]", "", name.lower())


def called_here(name: str, known: Sequence[str]) -> str:
    """What the argument or attribute `name` is called here; nothing if that is unknown."""
    here = [each for each in NAMES.get(name, ()) if each in known]
    here = here or ([] if name in ELSEWHERE else get_close_matches(name, known, 1, ALIKE))
    meant = " and ".join(f"`{each}`" for each in (here if name in BOTH else here[:1]))
    return f" Did you mean {meant}?" if meant else ""


def other_argument(name: str, known: Sequence[str]) -> str:
    """What to write instead of the argument `name`, which a class does not have."""
    all_of_them = ", ".join(f"`{each}`" for each in known)
    otherwise = f"Its arguments are {all_of_them}." if known else "It has no arguments."
    return called_here(name, known) or f" {ELSEWHERE.get(name, otherwise)}"


def as_list(name: str, value: Any) -> str:
    """For one entry where a list of entries belongs."""
    return f" Write {name}=[{value!r}]." if isinstance(value, str) else ""


def instead_of(name: str, value: Any, kinds: Sequence[Any], counts: bool = False) -> str:
    """What to write instead of a value that an argument does not accept.

    Args:
        name: The argument.
        value: What it received.
        kinds: The types that it accepts, see `arguments.alternatives`.
        counts: Whether it counts updates.
    """
    if isinstance(value, type):
        return f" Give an instance: {name}={value.__name__}(...)."
    if isinstance(value, str):
        if {int, float} & {*kinds} and _is_number(value):
            return f" Write it without quotes: {name}={value.strip()}."
        if LearningRateSchedule in kinds and name == "learning_rate":
            return f" A schedule by name is keras_gdx.schedules.create({value!r}, 1e-3)."
        choices = [each for kind in kinds if get_origin(kind) is Literal for each in get_args(kind)]
        return nearest(value, [each for each in choices if isinstance(each, str)])
    if isinstance(value, (list, tuple)) and name == "learning_rate":
        return f" {VARIABLES}"
    if isinstance(value, Variable) and name == "learning_rate":
        return " Give its number: `optimizer.learning_rate` can be set during training."
    if isinstance(value, float):
        if counts and 0 < value < 1:
            return f" {SHARES}"
        if int in kinds and value.is_integer():
            return f" Write {name}={int(value)}."
        if name == "decay":
            return f" {DECAY}"
    return ""


def _is_number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False
