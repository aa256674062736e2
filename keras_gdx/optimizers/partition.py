"""Several rules in one optimizer, chosen by the paths of the variables."""

from collections.abc import Mapping
from typing import Any, Unpack

from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import OptionsOfTheWhole, check_options, patterns
from keras_gdx.optimizers.parts import check_part
from keras_gdx.optimizers.slots import Shape
from keras_gdx.registry import get, register

__all__ = ["Partition"]


@register
class Partition(Optimizer):
    r"""Updates different variables by different rules, as one optimizer.

    Gradients are clipped together and accumulated in one window, averages and updates are counted
    once, and one file has all of the state. `learning_rate` is that of `default`; a number
    assigned to it later scales the rates of all rules.

    Args:
        rules: Dictionary from regular expressions on paths to rules of this package, or their
            names. The first match counts. Each rule has its own learning rate, `weight_decay`,
            `decay`, `before` and `after`; all other options belong to the partition.
        default: The rule of all other variables, or its name.
        **kwargs: The options of `Optimizer` but `weight_decay`, `decay`, `before` and `after`.
            With `sparse="lazy"`, rules that mix the rows of a tensor update all of them.

    Raises:
        ValueError: If a rule is a wrapper, or evaluates other weights than it trains (such as
            `ScheduleFreeSGD`).

    Memory: For each variable that of its rule: 8 bytes per parameter for `AdamW`.

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.Partition(
        ...     {"embedding": keras_gdx.optimizers.SGD(0.1), "head": "lion"},
        ...     default=keras_gdx.optimizers.AdamW(1e-3),
        ...     global_clipnorm=1.0,
        ... )

    Source: by definition; Muon for matrices beside AdamW as in Jordan et al. 2024
    Verified against: NumPy
    """

    def __init__(
        self,
        rules: Mapping[str, Optimizer | str] | None = None,
        *,
        default: Optimizer | str = "adamw",
        **kwargs: Unpack[OptionsOfTheWhole],
    ):
        rules = {} if rules is None else rules
        self._check(
            isinstance(rules, Mapping), "rules", rules, "a dictionary from patterns to rules"
        )
        patterns("rules", list(rules), self)
        found = {
            pattern: get(rule, f"rules[{pattern!r}]", of=self) for pattern, rule in rules.items()
        }
        rest = get(default, "default", of=self)
        for pattern, rule in found.items():
            check_part(rule, f"rules[{pattern!r}]")
        check_part(rest, "default")
        distinct = len({id(rule) for rule in (*found.values(), rest)}) == len(found) + 1
        self._check(distinct, "rules", rules, "a rule of its own for each pattern")
        super().__init__(rest.configured_rate(), **kwargs)
        self.rules = found
        self.default = rest
        check_options(self)  # again, with the rules

    def part_rules(self) -> dict[str, Any]:
        if not hasattr(self, "default"):  # the base is being constructed
            return {}
        numbered = {f"rule_{i}": rule for i, rule in enumerate(self.rules.values())}
        return {**numbered, "default": self.default}

    def catches_up(self) -> bool:
        return not self.part_rules() or super().catches_up()

    def part_of(self, spec):
        for i, pattern in enumerate(self.rules):
            if spec.matches([pattern]):
                return f"rule_{i}"
        return "default"

    @property
    def path_patterns(self) -> list[str]:
        return list(self.rules)

    def bytes_per_parameter(self, shape: Shape) -> float:
        return self.default.bytes_per_parameter(shape)
