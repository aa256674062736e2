"""The base class of modifiers."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from keras_gdx.arguments import Tensor
from keras_gdx.config import Configured, declared_arguments
from keras_gdx.engine.hyperparameters import Scalars, resolve
from keras_gdx.optimizers.slots import Slot, declared


class Modifier(Configured):
    """Changes the gradient before an update rule, or the direction after it.

    A subclass stores its arguments in `__init__`, declares its `slots`, declares in `sides` where
    it can be used, and defines `__call__`. A modifier is immutable; to change a numeric argument
    during training, use a schedule.
    """

    sides: tuple[str, ...] = ("before", "after")  # optimizer arguments that accept it
    slots: tuple[Slot | str, ...] = ()
    shared: tuple[str, ...] = ()  # scalar state stored once for all variables
    elementwise = True  # false: it mixes the entries of a tensor, or depends on the variable
    by_rows = False  # true: it mixes at most the entries of a row (an index of the first axis)

    def __call__(self, h: Scalars, x: Tensor, g: Tensor, w: Tensor, *slots: Tensor) -> Any:
        """Returns the changed `x`, or `(x, *new_slots)` if there are slots.

        Args:
            h: This update's scalars, the current value of each argument of the modifier, and
                what `global_stats` returned. `index` is the variable's number in the optimizer.
            x: The gradient (in `before`) or the direction (in `after`).
            g: The gradient.
            w: The weights before the update.
            *slots: The modifier's slots for this variable.
        """
        raise NotImplementedError

    def global_stats(self, h: Scalars, xs: Sequence[Tensor], *shared: Tensor) -> Any:
        """Computes statistics over all variables: returns `(scalars for h, *new_shared)`.

        Args:
            h: As for `__call__`, without `index`.
            xs: The gradients or directions of all variables that have a gradient, as the
                modifier will receive them. One tensor may hold several variables.
            *shared: The scalars declared in `shared`.
        """
        raise NotImplementedError

    @property
    def uses_global_stats(self) -> bool:
        """Whether the modifier defines `global_stats`."""
        return type(self).global_stats is not Modifier.global_stats

    def own_slots(self, optimizer: Any) -> list[Slot]:
        """The slots, with names that are unique in `optimizer`."""
        pairs = zip(self._slot_names(optimizer), declared(self.slots), strict=True)
        return [replace(slot, name=name) for name, slot in pairs]

    def run(
        self, optimizer: Any, h: Scalars, slots: dict[str, Tensor], x: Tensor, g: Tensor, w: Tensor
    ) -> Tensor:
        """Applies the modifier; reads its slots from `slots` and writes them back."""
        names = self._slot_names(optimizer)
        h = self.scalars(optimizer, h, w.dtype)
        result = self(h, x, g, w, *(slots[name] for name in names))
        if not names:
            return result
        x, *new = result
        slots.update(zip(names, new, strict=True))
        return x

    def scalars(self, optimizer: Any, h: Scalars, dtype: Any) -> Scalars:
        """The optimizer's scalars of this update, with those of the modifier."""
        own = {
            name: resolve(getattr(self, name), h.t - 1, dtype)
            for name in declared_arguments(type(self))
        }
        found = getattr(h, self.name_in(optimizer), Scalars())
        return h.replace(**own, **vars(found))

    def shared_names(self, optimizer: Any) -> list[str]:
        """The names of the shared scalars, unique in `optimizer`."""
        return [f"{self.name_in(optimizer)}_{name}" for name in self.shared]

    def _slot_names(self, optimizer: Any) -> list[str]:
        return [f"{self.name_in(optimizer)}_{slot.name}" for slot in declared(self.slots)]

    def name_in(self, optimizer: Any) -> str:
        """A name that stays when modifiers of other classes are added, moved or removed."""
        alike = [m for m in (*optimizer.before, *optimizer.after) if type(m) is type(self)]
        number = 1 + next(i for i, m in enumerate(alike) if m is self)
        return type(self).__name__.lower() + (f"_{number}" if number > 1 else "")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in vars(self):
            raise AttributeError(
                f"`{name}` of {type(self).__name__} is part of compiled steps and cannot become "
                f"{value!r}. Make a new modifier, or give it a schedule."
            )
        super().__setattr__(name, value)
