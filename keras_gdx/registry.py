"""The registry: a decorator that makes a class public, and functions that look classes up."""

import builtins
import importlib
import pkgutil
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatch
from typing import Any, Literal, TypeVar

import keras

from keras_gdx.advice import instead_of, nearest
from keras_gdx.arguments import check, check_type, refusal
from keras_gdx.formulas import with_readable_help

PACKAGE = "keras_gdx"
Kind = Literal["optimizer", "schedule", "callback", "regularizer", "constraint", "modifier"]
KINDS: dict[Kind, Any] = {
    "optimizer": keras.optimizers.Optimizer,
    "schedule": keras.optimizers.schedules.LearningRateSchedule,
    "callback": keras.callbacks.Callback,
    "regularizer": keras.regularizers.Regularizer,
    "constraint": keras.constraints.Constraint,
}
OTHER_KIND: Kind = "modifier"
Class = TypeVar("Class", bound=type)
KERAS_OWN = {name.lower() for name in dir(keras.optimizers)}  # names that Keras resolves
KERAS_MODULES = {
    "keras.callbacks": keras.callbacks,
    "keras.constraints": keras.constraints,
    "keras.optimizers": keras.optimizers,
    "keras.optimizers.schedules": keras.optimizers.schedules,
    "keras.regularizers": keras.regularizers,
}


@dataclass(frozen=True)
class Entry:
    """A class in the registry.

    Attributes:
        name: The short name, e.g. `"adamw"`.
        kind: `"optimizer"`, `"schedule"`, `"callback"`, `"regularizer"`, `"constraint"` or
            `"modifier"`.
        cls: The class itself.
        summary: The first line of its docstring.
        paper: The source of the definition.
        verified: The independent implementations that its tests compare it with.
    """

    name: str
    kind: Kind
    cls: Any
    summary: str
    paper: str
    verified: str

    @property
    def bytes_per_parameter(self) -> float | None:
        """Bytes of state per weight of a 1024 x 1024 matrix; `None` if it is not an optimizer."""
        return self.cls().bytes_per_parameter((1024, 1024)) if self.kind == "optimizer" else None


REGISTRY: dict[str, Entry] = {}


def register(cls: Class) -> Class:
    """Makes `cls` serializable by Keras and adds it to the registry.

    Afterwards `compile(optimizer="keras_gdx>Adan")` works, and so do `"Adan"` and the short
    name `"adan"`, unless Keras has an optimizer of that name.

    Raises:
        ValueError: If another class of any kind has the name, because saved files refer to classes
            by name. The same class may be defined again, as in a notebook.
    """
    kind = next((kind for kind, base in KINDS.items() if issubclass(cls, base)), OTHER_KIND)
    name = cls.__name__.lower()
    known = REGISTRY.get(name)
    if known and _origin(known.cls) != _origin(cls):
        raise ValueError(
            f"The name of the {known.kind} {_origin(known.cls)} already exists, so "
            f"{_origin(cls)} cannot be registered; names are compared in lower case. Give your "
            "class another name."
        )
    if "$" in (cls.__doc__ or "") and cls.__module__.startswith(f"{PACKAGE}."):
        with_readable_help(cls)
    REGISTRY[name] = Entry(
        name=name,
        kind=kind,
        cls=cls,
        summary=(cls.__doc__ or "").strip().partition("\n")[0],
        paper=_line(cls, "Source"),
        verified=_line(cls, "Verified against"),
    )
    keras.saving.register_keras_serializable(PACKAGE)(cls)
    names = keras.saving.get_custom_objects()
    names[f"{PACKAGE}>{name}"] = cls
    if kind == "optimizer" and name not in KERAS_OWN:
        names[name] = names[cls.__name__] = cls
    return cls


def list(pattern: str = "*", kind: Kind | None = None) -> Sequence[str]:
    """Returns the names of the registered classes.

    Args:
        pattern: Shell-style pattern for the short name, e.g. `"adam*"`.
        kind: Restricts the answer to `"optimizer"`, `"schedule"`, `"callback"`,
            `"regularizer"`, `"constraint"` or `"modifier"`.

    Raises:
        ValueError: If there is no such kind.

    Example:
        >>> import keras_gdx
        >>> keras_gdx.list("adam*")
        ['adam', 'adamax', 'adamw']
    """
    check_type("pattern", pattern, str)
    check_type("kind", kind, Kind | None)
    return sorted(
        name
        for name, entry in REGISTRY.items()
        if fnmatch(name, pattern.lower()) and kind in (None, entry.kind)
    )


def info(name: str) -> Entry:
    """Returns the `Entry` of `name`: summary, paper, bytes per parameter, verified against.

    Args:
        name: A short name, e.g. `"lion"`.

    Raises:
        ValueError: If no class has that name; the message lists similar names.

    Example:
        >>> import keras_gdx
        >>> keras_gdx.info("lion").bytes_per_parameter
        4.0
    """
    return look_up(name)


def look_up(name: str, kind: Kind | None = None) -> Entry:
    """The `Entry` of a name of this kind; raises the `ValueError` of `info`."""
    cls = name.__name__.lower() if isinstance(name, type) else ""
    advice = f" Write {cls!r}." if cls in REGISTRY else ""
    check(isinstance(name, str), "name", name, "a short name such as 'adamw'", advice=advice)
    entry = REGISTRY.get(name.lower())
    if entry is not None and kind in (None, entry.kind):
        return entry
    near = get_close_matches(name.lower(), list(kind=kind), cutoff=0.5)
    if entry is not None:
        advice = f"It is the {entry.kind} {_public(entry.cls)}"
    elif near:
        advice = f"Nearest: {', '.join(near)}"
    else:
        advice = f"keras_gdx.list({f'kind={kind!r}' if kind else ''}) has all names"
    raise ValueError(f"There is no {f'{kind} ' if kind else ''}{name!r} in keras_gdx. {advice}.")


def get(optimizer: Any, argument: str = "optimizer", of: object = None) -> Any:
    """Returns an optimizer from a name (ours before Keras'), a configuration or an optimizer."""
    if isinstance(optimizer, str) and optimizer.lower() in REGISTRY:
        return look_up(optimizer, "optimizer").cls()
    try:
        return keras.optimizers.get(optimizer)
    except (TypeError, ValueError) as error:
        raise no_optimizer(argument, optimizer, of) from error


def no_optimizer(argument: str, value: Any, of: object = None) -> ValueError:
    """The error for an argument that is no optimizer, with what was probably meant."""
    classes = [REGISTRY[name].cls.__name__ for name in list(kind="optimizer")]
    near = nearest(value, classes, f"{PACKAGE}>") if isinstance(value, str) else ""
    advice = near or instead_of(argument, value, ())
    return refusal(argument, value, "a Keras optimizer or the name of one", of, advice)


def publish(package: str) -> builtins.list[str]:
    """Imports every module of a folder and adds its public classes to the package's namespace.

    So a new rule needs one new file only. `tools/catalogue.py` writes the same names into the
    folder's `__init__.pyi`, for editors and type checkers.
    """
    module = sys.modules[package]
    names = []
    for found in pkgutil.iter_modules(module.__path__):
        part = importlib.import_module(f"{package}.{found.name}")
        for name in getattr(part, "__all__", ()):
            setattr(module, name, getattr(part, name))
            names.append(name)

    def __getattr__(name: str) -> Any:  # noqa: N807
        raise missing(package, name)

    module.__getattr__ = __getattr__  # type: ignore[method-assign]
    return sorted(names)


def missing(package: str, name: str) -> AttributeError:
    """The error for a name that a module of this package does not have, with where it is."""
    entry = REGISTRY.get(name.lower())
    theirs = [path for path, module in KERAS_MODULES.items() if hasattr(module, name)]
    if entry:
        advice = f" It is {_public(entry.cls)}."
    elif name in vars(sys.modules[PACKAGE]):
        advice = f" It is {PACKAGE}.{name}."
    elif theirs:
        advice = f" Keras has it: {theirs[0]}.{name}."
    else:  # Python itself names what is spelled nearly like it
        advice = " keras_gdx.list() has the names of all classes."
    told = f"Module {package!r} has no attribute {name!r}.{advice}"
    return AttributeError(told, name=name, obj=sys.modules[package])


def _public(cls: type) -> str:
    """The name under which users find a class."""
    ours = cls.__module__.startswith(f"{PACKAGE}.")
    return f"{cls.__module__.rpartition('.')[0] if ours else cls.__module__}.{cls.__name__}"


def _origin(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _line(cls: type, title: str) -> str:
    """The section `title:` of the docstring, as one line."""
    found = re.search(
        rf"^ *{title}: *(.+?)(?=\n *\n|\n *[A-Z][\w ]*:|\s*\Z)", cls.__doc__ or "", re.M | re.S
    )
    return " ".join(found[1].split()).rstrip(".") if found else ""
