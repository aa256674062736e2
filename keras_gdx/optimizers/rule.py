"""The interface of an update rule: declared state and pure functions of tensors."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from keras import ops

from keras_gdx.arguments import Tensor, is_schedule
from keras_gdx.engine.hyperparameters import Scalars
from keras_gdx.engine.skipped_rows import caught_up
from keras_gdx.engine.variables.structure import Role
from keras_gdx.optimizers.slots import Shape, Slot, declared


class Rule:
    """Interface of an update rule, independent of variables, replicas, dtypes and files.

    A subclass declares `slots` and defines `direction`. The other methods are hooks whose
    defaults suit most rules.
    """

    shared: tuple[str, ...] = ()  # scalar state stored once per model
    masks: tuple[str, ...] = ()  # arguments that are path patterns; booleans in `h`
    parts: tuple[str, ...] = ()  # arguments that are rules themselves
    by_rows = False  # true: it mixes at most the entries of a row (an index of the first axis)
    divisible = True  # false: `global_stats` reads slots, so every replica needs all of them
    before: Sequence[Any] = ()  # modifiers of the gradient
    after: Sequence[Any] = ()  # modifiers of the direction

    @property
    def slots(self) -> tuple[Slot | str, ...]:
        """The state per variable: a class attribute, or a property if it depends on arguments."""
        return ()

    @property
    def elementwise(self) -> bool:
        """False, a class attribute too, if the rule mixes the entries of a tensor, or tensors."""
        return True

    @property
    def decomposes(self) -> bool:
        """True, a class attribute too, if it decomposes matrices, which XLA does slowly on CPUs."""
        return any(part.decomposes for part in self.part_rules().values())

    def direction(self, h: Scalars, g: Tensor, w: Tensor, *slots: Any) -> Any:
        """Returns `(u, *new_slots)`, or `u` without slots; the update subtracts `lr * u`.

        Args:
            h: This update's scalars: `t` (from 1), `lr`, `weight_decay` (`None` if this
                variable is exempt), each argument of the rule, each of `masks` as a
                boolean, each of `parts` as its own `h`, `role`, and what `prepare` and
                `global_stats` returned.
            g: Gradient, reduced over replicas and clipped; has the shape of `w`.
            w: Weights before the update, float32 or wider.
            *slots: Slots in the order of their declaration.
        """
        raise NotImplementedError

    def prepare(self, h: Scalars) -> dict[str, Tensor]:
        """Returns a dictionary of scalars, computed once per update and added to `h`.

        One named `lr` replaces the learning rate.
        """
        return {}

    def global_stats(self, h: Scalars, model: Any, *shared: Tensor) -> Any:
        """Computes statistics over all variables: returns `(scalars for h, *new_shared)`.

        Args:
            h: This update's scalars.
            model: Lists with one entry per variable that this rule updates, computed on
                access: `model.gradients` (0 without a gradient), `model.weights`,
                `model.slots` (a dictionary by name), and `model.multipliers` of the rate.
            *shared: The scalars declared in `shared`.
        """
        raise NotImplementedError

    def decayed(self, h: Scalars, w: Tensor, u: Tensor) -> Tensor:
        """Adds decoupled weight decay to the direction."""
        decay = self.effective_decay(h, w, u)
        return u if decay is None else u + decay * w

    def descend(self, h: Scalars, w: Tensor, u: Tensor, *slots: Any) -> Any:
        """Takes the step along `-u`: returns `(w, *new_slots)`."""
        return w - h.lr * u, *slots

    def workspace(self, size: int, slots: Mapping[str, int]) -> int:
        """Estimates the entries of the temporary tensors in which a variable's update computes.

        One copy of the variable is not counted: any rule may need that. `memory` uses it.

        Args:
            size: The number of entries of the variable.
            slots: The number of entries of each of its slots, by name.
        """
        return 0

    def part_of(self, spec: Any) -> str | None:
        """The name of the part that updates this variable; `None` for the rule itself."""
        return None

    def effective_decay(self, h: Scalars, w: Tensor, u: Tensor) -> Tensor | None:
        """The weight decay that acts on each entry of `w`; `None` if the variable is exempt.

        What a hook uses in place of `h.weight_decay`, with the direction `u` without decay, so
        that it follows the option `decay`.
        """
        if h.weight_decay is None or h.decay == "plain":
            return h.weight_decay
        return h.weight_decay * ops.cast(u * w >= 0, w.dtype)

    # -- one update --------------------------------------------------------------------------

    @property
    def uses_global_stats(self) -> bool:
        """Whether the rule defines `global_stats`."""
        return type(self).global_stats is not Rule.global_stats

    def masks_of(self, spec: Any) -> dict[str, bool]:
        """For each of `masks`, whether one of its patterns matches the variable's path."""
        return {name: spec.matches(getattr(self, name)) for name in self.masks}

    @property
    def path_patterns(self) -> list[str]:
        """The patterns that should each match the path of a variable."""
        return [pattern for name in self.masks for pattern in getattr(self, name)]

    def part_rules(self) -> dict[str, Any]:
        """The rules that are parts of this one, by name; none while the base is constructed."""
        return {name: getattr(self, name) for name in self.parts if hasattr(self, name)}

    def all_rules(self) -> list[Any]:
        """This rule, its parts, and theirs."""
        return [self, *(x for rule in self.part_rules().values() for x in rule.all_rules())]

    @property
    def surveyors(self) -> list[Any]:
        """The modifiers that define `global_stats`, in order."""
        return [m for m in (*self.before, *self.after) if m.uses_global_stats]

    def rule_of(self, spec: Any) -> Any:
        """The rule that updates the variable with this spec."""
        part = self.part_of(spec)
        return self.part_rules()[part].rule_of(spec) if part else self

    @property
    def separates_entries(self) -> bool:
        """Whether rule and modifiers compute every entry of a tensor by itself."""
        return all(x.elementwise for x in (self, *self.before, *self.after))

    @property
    def separates_rows(self) -> bool:
        """Whether rule and modifiers compute every row of a tensor by itself."""
        return all(x.by_rows or x.elementwise for x in (self, *self.before, *self.after))

    def catches_up(self) -> bool:
        """Whether slots of the rule or of a part decay in updates without a gradient."""
        slots: Any = type(self).slots
        own = not isinstance(slots, property) and any(slot.decays for slot in declared(slots))
        return own or any(part.catches_up() for part in self.part_rules().values())

    def own_slots(self) -> list[Slot]:
        """The rule's slots, without those that its arguments make unnecessary."""
        return [s for s in declared(self.slots) if s.when is None or self._uses(s.when)]

    def _uses(self, argument: str) -> bool:
        value = getattr(self, argument)
        return is_schedule(value) or bool(value)

    def all_slots(self) -> list[Slot]:
        """The slots of the rule and of its modifiers."""
        return self.own_slots() + [
            slot for modifier in (*self.before, *self.after) for slot in modifier.own_slots(self)
        ]

    def advance(
        self,
        h: Scalars,
        spec: Any,
        g: Tensor,
        w: Tensor,
        slots: Mapping[str, Tensor],
        until: Any = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One update of one variable, as a pure function.

        Args:
            h: This update's scalars, with the variable's learning-rate `multiplier`.
            spec: The variable's `VariableSpec`.
            g: The variable's reduced gradient.
            w: The variable's value.
            slots: The variable's slots by name.
            until: Modifier at which to stop: the gradient or direction that it would receive
                is returned in place of the new value.

        Returns:
            The new value and the new slots by name.
        """
        if part := self.part_of(spec):
            shared = h.replace(**vars(getattr(h, part)))
            return self.part_rules()[part].advance(shared, spec, g, w, slots, until)
        h = h.replace(role=spec.role, lr=h.lr * h.multiplier, **self.masks_of(spec))
        h.weight_decay = h.weight_decay if spec.decays else None
        slots = caught_up(self, h, slots)
        new = dict(slots)
        for modifier in self.before:
            if modifier is until:
                return g, new
            g = modifier.run(self, h, new, g, g, w)
        u, own = self.steer(h, g, w, slots)
        for modifier in self.after:
            if modifier is until:
                return u, new
            u = modifier.run(self, h, new, u, g, w)
        w, *values = self.descend(h, w, self.decayed(h, w, u), *own.values())
        new.update((n, x) for n, x in zip(own, values, strict=True) if n in slots)
        return w, new

    def steer(
        self, h: Scalars, g: Tensor, w: Tensor, slots: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Calls `direction` with slots by name; returns the direction and the new slots."""
        needed = {s.name for s in self.own_slots()}
        names = [s.name for s in declared(self.slots)]
        old = [slots.get(n) if n in needed else 0.0 for n in names]
        found = self.direction(h, g, w, *old)
        u, *new = found if isinstance(found, tuple) else (found,)
        return u, dict(zip(names, new, strict=True))

    def bytes_per_parameter(self, shape: Shape) -> float:
        """Bytes of state per weight, for a float32 variable of this shape."""
        role = Role("kernel", inputs=max(1, len(shape) - 1))
        shapes = [slot.shape_for(shape, role) for slot in self.all_slots()]
        sizes = [prod(s) for s in shapes if s is not None]
        return 4.0 * sum(sizes) / prod(shape)
