"""What an optimizer knows about each variable before the first step."""

import re
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from keras_gdx.engine.variables.structure import Role, path_of, paths, role_of, roles


@dataclass(frozen=True)
class VariableSpec:
    """The options that apply to one variable.

    Attributes:
        path: The variable's path in its model, without the model's own name.
        own_path: Its path as Keras has it, which patterns may match too.
        shape: Its shape.
        role: Its role in the model.
        decays: Whether `weight_decay` applies to it.
        multiplier: Factor of its learning rate.
    """

    path: str
    own_path: str
    shape: tuple[int, ...]
    role: Role
    decays: bool
    multiplier: float

    def matches(self, patterns: Iterable[str]) -> bool:
        """Whether one of the patterns matches one of the paths."""
        return _matches(patterns, (self.path, self.own_path))


def specs_of(optimizer, variables, model=None):
    """Returns the `VariableSpec` of each variable; warns of patterns that match no variable."""
    known = roles(model) if model is not None else {}
    stable, own = numbered(variables, model), numbered(variables)
    names = [(a, b) for (a, _), (b, _) in zip(stable, own, strict=True)]
    multipliers = optimizer.lr_multipliers or {}
    entries = [entry for entry in optimizer.no_decay_entries if entry != "auto"]
    pairs = [entry for entry in entries if isinstance(entry, tuple)]
    patterns = [entry for entry in entries if isinstance(entry, str)]
    of_rules = [p for rule in optimizer.all_rules() for p in rule.path_patterns]
    unused = [p for p in (*multipliers, *patterns, *of_rules) if not _used(p, names)]
    unused += [pair for pair in pairs if pair not in (*stable, *own)]
    for each in unused:
        warnings.warn(
            f"The pattern {each!r} matches no variable. Paths are, for example, "
            f"{', '.join(path for path, _ in names[:3])}.",
            stacklevel=2,
        )
    exempt = {id(v) for v in optimizer.exempt}
    for pair in set(pairs) - set(unused):
        known_as = stable if pair in stable else own
        exempt.add(id(variables[known_as.index(pair)]))
    found = []
    for variable, name in zip(variables, names, strict=True):
        role = known.get(id(variable)) or role_of(variable)
        automatic = "auto" in optimizer.no_decay_entries and role.kind != "kernel"
        found.append(
            VariableSpec(
                path=name[0],
                own_path=name[1],
                shape=tuple(variable.shape),
                role=role,
                decays=not (automatic or id(variable) in exempt or _matches(patterns, name)),
                multiplier=next((x for p, x in multipliers.items() if _matches([p], name)), 1.0),
            )
        )
    return found


def numbered(variables, model=None):
    """For each variable its path, and how many variables with that path come before it."""
    stable = paths(model) if model is not None else {}
    before: Counter = Counter()
    found = []
    for variable in variables:
        path = stable.get(id(variable), path_of(variable))
        found.append((path, before[path]))
        before[path] += 1
    return found


def _used(pattern, names):
    return any(_matches([pattern], each) for each in names)


def _matches(patterns, names):
    return any(re.search(pattern, name) for pattern in patterns for name in names)
