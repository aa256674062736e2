"""What an optimizer knows about each variable before the first step."""

import re
import warnings
from dataclasses import dataclass

from keras_gdx.engine.structure import Role, role_of, roles


@dataclass(frozen=True)
class Facts:
    """One variable, as the rule's options see it.

    Attributes:
        path: The variable's path in its model.
        shape: Its shape.
        role: Its part in the model.
        decays: Whether `weight_decay` applies to it.
        multiplier: Factor of its learning rate.
        masks: For each of the rule's `masks`, whether one of its patterns matches the path.
    """

    path: str
    shape: tuple[int, ...]
    role: Role
    decays: bool
    multiplier: float
    masks: dict[str, bool]


def facts_of(optimizer, variables, model=None):
    """Returns the `Facts` of each variable; warns of patterns that match none of them."""
    known = roles(model) if model is not None else {}
    paths = [path_of(v) for v in variables]
    multipliers = optimizer.lr_multipliers or {}
    masks = {name: getattr(optimizer, name) for name in optimizer.masks}
    patterns = [p for p in (*multipliers, *optimizer.no_decay_patterns, *sum(masks.values(), ()))]
    for pattern in patterns:
        if not any(re.search(pattern, path) for path in paths):
            warnings.warn(
                f"The pattern {pattern!r} matches no variable. Paths are, for example, "
                f"{', '.join(paths[:3])}.",
                stacklevel=2,
            )
    found = []
    for variable, path in zip(variables, paths, strict=True):
        role = known.get(id(variable)) or role_of(variable)
        automatic = optimizer.no_decay == "auto" and role.kind != "kernel"
        found.append(
            Facts(
                path=path,
                shape=tuple(variable.shape),
                role=role,
                decays=not (automatic or _matches(optimizer.no_decay_patterns, path)),
                multiplier=next((x for p, x in multipliers.items() if re.search(p, path)), 1.0),
                masks={name: _matches(patterns, path) for name, patterns in masks.items()},
            )
        )
    return found


def path_of(variable):
    """The path of a Keras variable, or the name of a bare one."""
    return getattr(variable, "path", None) or variable.name


def _matches(patterns, path):
    return any(re.search(pattern, path) for pattern in patterns)
