"""What is compared: an optimizer with its arguments, each a value or a space."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import keras

from keras_gdx import schedules
from keras_gdx.arguments import PositiveInt, check, check_type
from keras_gdx.comparison.spaces import Choice, Space, Uniform, advised
from keras_gdx.config import pack, unpack
from keras_gdx.creation import create
from keras_gdx.registry import look_up

__all__ = ["Built", "Strategy"]


class Built(NamedTuple):
    """What a strategy trains with.

    Attributes:
        optimizer: For `compile`.
        callbacks: For `fit`.
        batch_size: The strategy's own, or `None`.
    """

    optimizer: Any
    callbacks: list[keras.callbacks.Callback]
    batch_size: int | None


@dataclass(frozen=True)
class Strategy:
    """A way to train: an optimizer and everything that belongs to it.

    Attributes:
        name: What it is called in the results.
        optimizer: A name for `keras_gdx.create`, a function of `arguments` that returns an
            optimizer, or a Keras optimizer, which is copied.
        arguments: Of `create` or the function, and `batch_size`. A `Uniform` or `LogUniform`, or a
            list of choices, is a space; a dictionary with a `schedule` is a schedule by that name.
        callbacks: A function that returns the callbacks of one run.
    """

    name: str
    optimizer: Any
    arguments: dict[str, Any] = field(default_factory=dict)
    callbacks: Callable[[], list[Any]] | None = None

    @classmethod
    def of(cls, name: str, given: Any) -> "Strategy":
        """A strategy as a user describes it.

        Raises:
            ValueError: If it is none, or its values cannot be used.
        """
        check(isinstance(name, str) and name, "strategies", name, "named by texts")
        allowed = (
            "the name of an optimizer, a Keras optimizer, a function that returns one, or a "
            "dictionary with one of these as `optimizer`, arguments and `callbacks`"
        )
        if isinstance(given, Mapping):
            rest = dict(given)
            check("optimizer" in rest, f"strategies[{name!r}]", given, allowed)
            optimizer, callbacks = rest.pop("optimizer"), rest.pop("callbacks", None)
        else:
            optimizer, rest, callbacks = given, {}, None
        valid = isinstance(optimizer, (str, keras.optimizers.Optimizer)) or callable(optimizer)
        check(valid, f"strategies[{name!r}]", given, allowed)
        fixed = isinstance(optimizer, keras.optimizers.Optimizer)
        own = rest.keys() - {"batch_size"}
        check(not (fixed and own), f"strategies[{name!r}]", given, "without more arguments")
        valid = callbacks is None or callable(callbacks)
        check(valid, "callbacks", callbacks, "a function that returns a list of callbacks")
        if isinstance(optimizer, str):
            look_up(optimizer, "optimizer")
        return cls(name, optimizer, _with_choices(rest), callbacks)

    @property
    def space(self) -> dict[str, Space]:
        """The arguments to choose values for; those of a schedule as `"argument.its argument"`."""
        return dict(_spaces(self.arguments))

    @property
    def advised(self) -> dict[str, float] | None:
        """The values that were advised for all of these; `None` if there is no such advice."""
        return advised(self.space)

    def build(self, values: Mapping[str, Any], model: keras.Model | None = None) -> Built:
        """Creates the optimizer and the callbacks.

        Args:
            values: A value for each argument in `space`.
            model: The built model to train.

        Raises:
            ValueError: If an argument is out of its range.
        """
        arguments = _filled(self.arguments, values)
        batch_size = arguments.pop("batch_size", None)
        check_type("batch_size", batch_size, PositiveInt | None)
        if isinstance(self.optimizer, str):
            optimizer = create(self.optimizer, model, **arguments)
        elif isinstance(self.optimizer, keras.optimizers.Optimizer):
            optimizer = unpack(pack(self.optimizer))
        else:
            optimizer = self.optimizer(**arguments)
        return Built(optimizer, list(self.callbacks()) if self.callbacks else [], batch_size)


def _with_choices(value: Any) -> Any:
    """Arguments in which lists are choices."""
    if isinstance(value, list):
        check(value, "strategies", value, "a list with at least one choice")
        return Choice([_with_choices(x) for x in value])
    if isinstance(value, Mapping):
        return {name: _with_choices(x) for name, x in value.items()}
    return value


def _spaces(arguments: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Space]]:
    for name, value in arguments.items():
        if isinstance(value, (Uniform, Choice)):
            yield prefix + name, value
        elif isinstance(value, Mapping):
            yield from _spaces(value, f"{prefix}{name}.")


def _filled(arguments: Mapping[str, Any], values: Mapping[str, Any], prefix: str = "") -> Any:
    """Arguments with values in the place of spaces, and schedules in that of their dictionaries."""
    found = {}
    for name, value in arguments.items():
        if isinstance(value, (Uniform, Choice)):
            value = values[prefix + name]
        elif isinstance(value, Mapping):
            value = _filled(value, values, f"{prefix}{name}.")
            if "schedule" in value:
                value = schedules.create(value.pop("schedule"), **value)
        found[name] = value
    return found
