"""Arguments: their types, and the checks of what a user passes.

A class declares an argument by its annotation in the constructor:

    def __init__(self, learning_rate=0.1, *, nu: Fraction = 0.7, order: PositiveInt = 2, **kwargs):

Everything else follows from it: the check of each value that is assigned, whether it may be a
schedule and may be set during training, the tests with wrong values, and the catalogue. An argument
without an annotation has the type of its default if that is a number or a boolean; otherwise it
accepts anything.
"""

import math
import numbers
import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    Protocol,
    TypeAlias,
    TypeGuard,
    Union,
    get_args,
    get_origin,
)

import keras
import numpy as np
from annotated_types import Ge, Gt, Interval

from keras_gdx.advice import instead_of, nearest

if TYPE_CHECKING:  # Keras has no types: without this, a checker would accept anything here

    class LearningRateSchedule(Protocol):
        """A function of the update index that can be saved."""

        def __call__(self, step: Any, /) -> Any: ...
        def get_config(self) -> Any: ...
else:
    from keras.optimizers.schedules import LearningRateSchedule

Tensor: TypeAlias = Any  # of Keras' backend, or a variable or what converts to a tensor

# Hyper-parameters of rules and modifiers: they may be schedules, and be set during training.
Number: TypeAlias = float | LearningRateSchedule
NonNegative = Annotated[Number, Ge(0)]
Positive = Annotated[Number, Gt(0)]
Fraction = Annotated[Number, Interval(ge=0, le=1)]
DecayRate = Annotated[Number, Interval(ge=0, lt=1)]  # of an exponential moving average
LearningRate: TypeAlias = NonNegative | Callable[[], Any]

# Numbers that stay as they are.
NonNegativeFloat = Annotated[float, Ge(0)]
PositiveFloat = Annotated[float, Gt(0)]
FractionFloat = Annotated[float, Interval(ge=0, le=1)]
NonNegativeInt = Annotated[int, Ge(0)]
PositiveInt = Annotated[int, Ge(1)]

# Counts of updates. They are compared with the index of an update, a 32-bit integer.
MOST_STEPS = 2**31 - 1
Steps = Annotated[int, Interval(ge=0, le=MOST_STEPS)]
PositiveSteps = Annotated[int, Interval(ge=1, le=MOST_STEPS)]

Limits = dict[str, float]


@dataclass(frozen=True)
class Form:
    """Marks a type whose values have a form of their own, such as `"10 minutes"`.

        Duration = Annotated[float | str, Form(seconds, "a duration such as '10 minutes'")]

    Attributes:
        parse: Returns what a value means, or `None` if it does not have the form.
        words: The form in words, for error messages.
    """

    parse: Callable[[Any], Any]
    words: str


TYPE_OF_DEFAULT = {float: Number, int: int, bool: bool}  # for arguments without annotation


def accepts(hint: Any, value: Any) -> bool:
    """Whether a value is of the type. Types that are not mentioned here accept anything."""
    return any(_accepts(base, limits, value) for base, limits in alternatives(hint))


def _accepts(base: Any, limits: Limits, value: Any) -> bool:
    if isinstance(base, Form):
        return base.parse(value) is not None
    if get_origin(base) is Literal:
        return any(isinstance(value, type(x)) and value == x for x in get_args(base))
    if base is bool:
        return isinstance(value, (bool, np.bool_))
    if base in (int, float):
        kind = numbers.Integral if base is int else numbers.Real
        valid = is_number(value) and isinstance(value, kind)
        valid = valid and (math.isfinite(value) or limits.get("le") == math.inf)
        return valid and all(COMPARE[n](value, limit) for n, limit in limits.items())
    if get_origin(base) is Callable:
        return callable(value) and not isinstance(value, type)
    return isinstance(value, base) if isinstance(base, type) and base is not Any else True


def describe(hint: Any) -> str:
    """What `accepts` allows, in words."""
    *words, last = [word for each in alternatives(hint) for word in _words(*each)]
    return f"{', '.join(words)} or {last}" if words else last


def _words(base: Any, limits: Limits) -> list[str]:
    if isinstance(base, Form):
        return [base.words]
    if get_origin(base) is Literal:
        return [repr(choice) for choice in get_args(base)]
    if base in (int, float):
        return [f"{'an integer' if base is int else 'a number'} {_interval(limits)}".strip()]
    return WORDS.get(base) or [f"a {(get_origin(base) or base).__name__}"]


def interval(limits: Limits) -> str:
    """Limits as documentation has them: `in [0, 1)`, `> 0`, without that of 32 bits."""
    return _interval({name: limit for name, limit in limits.items() if limit != MOST_STEPS})


def _interval(limits: Limits) -> str:
    if len(limits) < 2:
        return "".join(f"{SIGNS[name]} {limit}" for name, limit in limits.items())
    low = f"[{limits['ge']}" if "ge" in limits else f"({limits['gt']}"
    high = f"{limits['le']}]" if "le" in limits else f"{limits['lt']})"
    return f"in {low}, {high}"


def may_change(hint: Any) -> bool:
    """Whether an argument is a hyper-parameter: it may be a schedule, and be set in training."""
    return any(base is LearningRateSchedule for base, _ in alternatives(hint))


def alternatives(hint: Any, limits: Limits | None = None) -> Iterator[tuple[Any, Limits]]:
    """The types in a union, each with the limits of its numbers, such as `{"ge": 0, "lt": 1}`.

    A type with a `Form` is represented by that.
    """
    limits = limits or {}
    if get_origin(hint) is Annotated:
        hint, *marks = get_args(hint)
        if isinstance(marks[0], Form):
            yield marks[0], limits
            return
        found = {name: x for mark in marks for name, x in asdict(mark).items() if x is not None}
        yield from alternatives(hint, limits | found)
    elif get_origin(hint) in (Union, UnionType):
        for each in get_args(hint):
            yield from alternatives(each, limits)
    else:
        yield hint, limits


COMPARE = {"ge": operator.ge, "gt": operator.gt, "le": operator.le, "lt": operator.lt}
WORDS = {NoneType: ["None"], bool: ["True", "False"], str: ["a string"]}
SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


# -- checks ----------------------------------------------------------------------------------


def is_schedule(value: Any) -> TypeGuard[LearningRateSchedule]:
    """Whether `value` changes with the update index."""
    return isinstance(value, keras.optimizers.schedules.LearningRateSchedule)


def is_number(value: Any) -> TypeGuard[float]:
    """Whether `value` is a real number, including NumPy scalars but not booleans."""
    return isinstance(value, numbers.Real) and not isinstance(value, (bool, type(None)))


def check(
    condition: Any, name: str, value: Any, allowed: str, of: object = None, advice: str = ""
) -> None:
    """Raises the `ValueError` for an invalid argument unless `condition` holds."""
    if not condition:
        raise refusal(name, value, allowed, of, advice)


def refusal(name: str, value: Any, allowed: str, of: object = None, advice: str = "") -> ValueError:
    """The error for an invalid argument.

    Args:
        name: The argument.
        value: What it received.
        allowed: What it must be.
        of: The object whose argument it is.
        advice: Sentences at the end, see `advice.py`.
    """
    received = f"{name}={in_short(value)}"
    received = received if of is None else f"{type(of).__name__}({received})"
    end = f".{advice}" if advice else ""
    return ValueError(f"Argument `{name}` must be {allowed}. Received: {received}{end}")


def in_short(value: Any) -> str:
    """What `repr` gives, but on one line also for arrays and what contains some."""
    if isinstance(value, np.generic):
        return repr(value.item())
    if type(value) is tuple:
        return f"({', '.join(map(in_short, value))}{',' * (len(value) == 1)})"
    if type(value) is list:
        return f"[{', '.join(map(in_short, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k!r}: {in_short(x)}' for k, x in value.items())}}}"
    array = not isinstance(value, type) and hasattr(value, "shape") and hasattr(value, "dtype")
    if array and str(value.shape) != "()":
        name = f"{value.path}: " if hasattr(value, "path") else ""
        return f"<{name}{getattr(value.dtype, 'name', value.dtype)} of shape {value.shape}>"
    return repr(value)


def check_type(name: str, value: Any, hint: Any, of: object = None) -> None:
    """Raises the `ValueError` for an argument that is not of the type; see `check`."""
    if not accepts(hint, value):
        kinds = [base for base, _ in alternatives(hint)]
        counts = any(limits.get("le") == MOST_STEPS for _, limits in alternatives(hint))
        check(False, name, value, describe(hint), of, instead_of(name, value, kinds, counts))


def check_name(name: str, value: Any, known: Iterable[str], of: object = None) -> None:
    """Raises the `ValueError` for an argument that is not one of the known names."""
    known = [*known]
    allowed = f"one of {', '.join(map(repr, known))}"
    check(value in known, name, value, allowed, of, nearest(value, known))


def check_built(model: Any) -> None:
    """Raises the `ValueError` for a model that is none, or is not built yet."""
    check(isinstance(model, keras.Model), "model", model, "a Keras model")
    advice = " Let it begin with keras.Input(shape), or call model.build(input_shape)."
    check(model.built, "model", model, "built", advice=advice)


def needs_tensorflow(name: str) -> None:
    """Raises `ValueError` on backends other than TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"{name} needs Keras' TensorFlow backend; this is {keras.backend.backend()!r}. Install "
            "it with pip install 'keras_gdx[tensorflow]', and set KERAS_BACKEND=tensorflow in the "
            "environment before Keras is imported."
        )


def has_matplotlib() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def needs_matplotlib(name: str) -> None:
    """Raises `ImportError` if matplotlib is missing."""
    if not has_matplotlib():
        raise ImportError(f"{name} needs matplotlib: pip install 'keras_gdx[report]'")
