"""Serialization and validation derived from the constructor's signature."""

import inspect
import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, get_args, get_origin, get_type_hints

import keras

from keras_gdx.advice import NAMES, other_argument
from keras_gdx.arguments import (
    TYPE_OF_DEFAULT,
    Form,
    alternatives,
    check,
    check_type,
    in_short,
)

if TYPE_CHECKING:  # mypy takes no class for hashable
    Function = TypeVar("Function", bound=Callable[..., Any])

    def cache(function: Function) -> Function:
        """Keeps results, as `functools.cache`."""
else:
    from functools import cache


class Call:
    """The signature that `help` and notebooks show of a class: all arguments, without types.

    An instance has none of it: it may be a function with a signature of its own.
    """

    def __get__(self, instance: Any, cls: type) -> inspect.Signature:
        if instance is not None:
            raise AttributeError("__signature__")
        return _call(cls)


class Configured:
    """Gives a class `get_config`, `from_config`, and validation of its arguments.

    `__init__` must store every argument that it declares in an attribute of the same name. Values
    that are Keras objects are serialized too, also inside lists, tuples and dictionaries.
    """

    __signature__ = Call()

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        known = [*declared_arguments(cls)]
        unknown = kwargs.keys() - known
        if unknown and not _takes_more(cls):
            raise TypeError(_unknown(cls, "argument", min(unknown)))
        made = super().__new__(cls)
        if (most := _most_positions(cls)) < len(args) <= len(known):
            for name, value in zip(known[:most], args, strict=False):
                check_type(name, value, argument_types(cls)[name], of=made)
            pairs = zip(known[most:], args[most:], strict=False)
            by_name = ", ".join(f"{name}={value!r}" for name, value in pairs)
            raise TypeError(
                f"{cls.__name__} takes only {', '.join(known[:most]) or 'none'} by position. "
                f"Received: {len(args)} arguments. Name the others: {by_name}."
            )
        return made

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments as a serializable dictionary."""
        return {name: pack(self.configured(name)) for name in declared_arguments(type(self))}

    def configured(self, name: str) -> Any:
        """The value of an argument in `get_config`."""
        return getattr(self, name)

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Self:
        """Builds an instance from what `get_config` returned."""
        return cls(**{name: unpack(value, custom_objects) for name, value in config.items()})

    def accept(self, name: str, value: Any) -> Any:
        """Called when an argument is assigned: returns the value to store.

        Raises:
            ValueError: If the value is not of the argument's type.
        """
        check_type(name, value, argument_types(type(self))[name], of=self)
        return value

    def _check(self, condition: Any, name: str, value: Any, allowed: str, advice: str = "") -> None:
        """`arguments.check` for an argument of this object."""
        check(condition, name, value, allowed, of=self, advice=advice)

    def parsed(self, name: str) -> Any:
        """What an argument means whose type has a `Form`; `None` if it is `None`."""
        value = getattr(self, name)
        return None if value is None else argument_forms(type(self))[name].parse(value)

    def __setattr__(self, name: str, value: Any) -> None:
        cls = type(self)
        if name in argument_types(cls) and not isinstance(getattr(cls, name, None), property):
            value = self.accept(name, value)
        elif _is_misnamed(cls, name):  # it would have no effect
            raise AttributeError(_unknown(cls, "attribute", name))
        super().__setattr__(name, value)

    if not TYPE_CHECKING:  # for a type checker, a class with `__getattr__` has any attribute

        def __getattr__(self, name):
            if _is_misnamed(type(self), name):
                raise AttributeError(_unknown(type(self), "attribute", name))
            return super().__getattribute__(name)  # raises the error again

    def displayed(self, name: str) -> Any:
        """The value of an argument in `repr`."""
        return getattr(self, name)

    def __repr__(self) -> str:
        """The call that makes this object, without arguments that have their default.

        Arrays are told by their shape, so there it is for reading only.
        """
        arguments = (
            f"{name}={said}"
            for name, default in declared_arguments(type(self)).items()
            if (said := in_short(self.displayed(name))) != in_short(default)
        )
        return f"{type(self).__name__}({', '.join(arguments)})"


@cache
def declared_arguments(cls: type) -> dict[str, Any]:
    """Maps each argument of the constructor to its default.

    If the constructor has `**kwargs`, the arguments of the next `Configured` class are included;
    of these only the ones that its annotation names, if it has one.
    """
    levels: list[dict[str, Any]] = []
    named = None
    for base in _configured_bases(cls):
        parameters = list(inspect.signature(base.__init__).parameters.values())[1:]
        own = {p.name: p.default for p in parameters if p.kind not in VARIADIC}
        levels.append({n: x for n, x in own.items() if named is None or n in named})
        variadic = [p for p in parameters if p.kind is inspect.Parameter.VAR_KEYWORD]
        if not variadic:
            break
        if get_origin(variadic[0].annotation) is Unpack:
            (options,) = get_args(variadic[0].annotation)
            named = options.__annotations__.keys()
    found: dict[str, Any] = {}
    for level in levels:
        found = {**found, **{name: x for name, x in level.items() if name not in found}}
    return found


@cache
def argument_types(cls: type) -> dict[str, Any]:
    """Maps each argument of the constructors of a class and its bases to its type."""
    found: dict[str, Any] = {}
    for base in reversed(_configured_bases(cls)):
        try:
            hints = get_type_hints(base.__init__, include_extras=True)
        except NameError:  # an annotation that is a string and names a local class
            hints = {}
        for name, parameter in [*inspect.signature(base.__init__).parameters.items()][1:]:
            if parameter.kind not in VARIADIC:
                inferred = TYPE_OF_DEFAULT.get(type(parameter.default), Any)
                found[name] = hints.get(name, inferred)
    return found


@cache
def argument_forms(cls: type) -> dict[str, Form]:
    """Maps each argument whose type has a `Form` to that."""
    return {
        name: base
        for name, hint in argument_types(cls).items()
        for base, _ in alternatives(hint)
        if isinstance(base, Form)
    }


@cache
def _call(cls: type) -> inspect.Signature:
    own = []
    for base in _configured_bases(cls)[:1]:
        _, *found = inspect.signature(base.__init__).parameters.values()
        own = [p.replace(annotation=p.empty) for p in found]
    names = {p.name for p in own}
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
        for name, default in declared_arguments(cls).items()
        if name not in names
    ]
    variadic = [p for p in own if p.kind is p.VAR_KEYWORD]
    named = [p for p in own if p not in variadic]
    return inspect.Signature([*named, *options, *(variadic if _takes_more(cls) else ())])


def _configured_bases(cls: type) -> list[Any]:
    return [b for b in cls.__mro__ if issubclass(b, Configured) and "__init__" in vars(b)]


def _takes_more(cls: type) -> bool:
    """Whether a constructor may take arguments that it does not declare.

    Ours hand `**kwargs` to the next class; those of users may do anything with them.
    """
    constructor: Any = next(iter(_configured_bases(cls)), cls)
    foreign = not constructor.__module__.startswith("keras_gdx.")
    parameters = inspect.signature(constructor.__init__).parameters.values()
    return foreign or any(
        p.kind is inspect.Parameter.VAR_KEYWORD and p.name != "kwargs" for p in parameters
    )


def _unknown(cls: type, what: str, name: str) -> str:
    advice = other_argument(name, [*declared_arguments(cls)])
    return f"{cls.__name__} has no {what} `{name}`.{advice}"


def _is_misnamed(cls: type, name: str) -> bool:
    """Whether a class of ours has an argument that is called `name` elsewhere."""
    ours = name in NAMES and cls.__module__.startswith("keras_gdx.") and not hasattr(cls, name)
    return ours and not declared_arguments(cls).keys().isdisjoint(NAMES[name])


@cache
def _most_positions(cls: type) -> int:
    """How many arguments a constructor takes by position."""
    constructor: Any = next(iter(_configured_bases(cls)), cls)
    kinds = [p.kind for p in inspect.signature(constructor.__init__).parameters.values()][1:]
    many = inspect.Parameter.VAR_POSITIONAL in kinds
    return sys.maxsize if many else sum(kind in BY_POSITION for kind in kinds)


VARIADIC = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def pack(value: Any) -> Any:
    """Serializes one argument."""
    if isinstance(value, (list, tuple)):
        return [pack(x) for x in value]
    if isinstance(value, dict):
        return {str(k): pack(x) for k, x in value.items()}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "get_config") or (callable(value) and not isinstance(value, type)):
        return keras.saving.serialize_keras_object(value)
    return value


def unpack(value: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Undoes `pack`."""
    if isinstance(value, list):
        return [unpack(x, custom_objects) for x in value]
    if isinstance(value, dict):
        if "class_name" in value and "config" in value:
            return keras.saving.deserialize_keras_object(value, custom_objects)
        return {k: unpack(x, custom_objects) for k, x in value.items()}
    return value
