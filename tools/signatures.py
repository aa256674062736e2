"""Arguments and sources as the generated pages show them."""

import re
from inspect import Parameter
from typing import Literal, get_args, get_origin

from keras_gdx.arguments import alternatives, interval, is_schedule
from keras_gdx.config import argument_types, declared_arguments
from keras_gdx.optimizers import Optimizer

OPTIONS = declared_arguments(Optimizer)  # of every rule


def has_options(cls):
    """Whether a class has the options of every rule."""
    return OPTIONS.keys() <= declared_arguments(cls).keys()


def own_arguments(cls):
    """The names of the arguments that are not options of every rule with the same default."""
    defaults = declared_arguments(cls)
    if not issubclass(cls, Optimizer):
        return [*defaults]
    return [name for name in defaults if defaults[name] != OPTIONS.get(name, defaults)]


def arguments(cls, names):
    """Arguments as in a signature, each with its range or choices: `` `beta=0.9` in [0, 1) ``."""
    types = argument_types(cls)
    return ", ".join(
        " ".join(filter(None, [f"`{with_default(cls, name)}`", _range(types[name])]))
        for name in names
    )


def with_default(cls, name):
    """`epsilon=1e-8`, where Python itself writes `1e-08`; of a schedule only what it is."""
    default = declared_arguments(cls).get(name, Parameter.empty)
    if default is Parameter.empty:
        return name
    if is_schedule(default):
        return f"{name}={type(default).__name__}(...)"
    return f"{name}={re.sub('e-0', 'e-', repr(default))}"


def _range(hint):
    """The range of a number, or the choices of a string."""
    kinds = list(alternatives(hint))
    choices = [repr(x) for base, _ in kinds if get_origin(base) is Literal for x in get_args(base)]
    ranges = [
        ("integer " if base is int else "") + interval(limits) for base, limits in kinds if limits
    ]
    return ranges[0] if ranges else f"({', '.join(choices)})" if choices[1:] else ""


def linked(source):
    """A source with links to what is on arXiv."""
    return re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[\g<0>](https://arxiv.org/abs/\1)", source)
