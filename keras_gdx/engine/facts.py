"""What an optimizer knows about each variable before the first step."""

import re
import warnings
from dataclasses import dataclass

from keras_gdx.engine.structure import Role, path_of, paths, role_of, roles


@dataclass(frozen=True)
class Facts:
    """One variable, as the rule's options see it.

    Attributes:
        path: The variable's path in its model, without the model's own name.
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
    stable = paths(model) if model is not None else {}
    names = [(stable.get(id(v), path_of(v)), path_of(v)) for v in variables]
    multipliers = optimizer.lr_multipliers or {}
    masks = {name: getattr(optimizer, name) for name in optimizer.masks}
    for pattern in (*multipliers, *optimizer.no_decay_patterns, *sum(masks.values(), ())):
        if not any(_matches([pattern], n) for n in names):
            warnings.warn(
                f"The pattern {pattern!r} matches no variable. Paths are, for example, "
                f"{', '.join(path for path, _ in names[:3])}.",
                stacklevel=2,
            )
    found = []
    for variable, name in zip(variables, names, strict=True):
        role = known.get(id(variable)) or role_of(variable)
        automatic = optimizer.no_decay == "auto" and role.kind != "kernel"
        found.append(
            Facts(
                path=name[0],
                shape=tuple(variable.shape),
                role=role,
                decays=not (automatic or _matches(optimizer.no_decay_patterns, name)),
                multiplier=next((x for p, x in multipliers.items() if _matches([p], name)), 1.0),
                masks={mask: _matches(patterns, name) for mask, patterns in masks.items()},
            )
        )
    return found


def _matches(patterns, names):
    return any(re.search(pattern, name) for pattern in patterns for name in names)
