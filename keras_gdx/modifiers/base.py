"""The base class of modifiers."""

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
    elementwise = True  # false: it mixes the entries of a tensor
    by_rows = False  # true: it mixes at most the entries of a row (an index of the first axis)

    def __call__(self, h: Scalars, x: Tensor, g: Tensor, w: Tensor, *slots: Tensor) -> Any:
        """Returns the changed `x`, or `(x, *new_slots)` if there are slots.

        Args:
            h: This update's scalars, and the current value of each argument of the modifier.
            x: The gradient (in `before`) or the direction (in `after`).
            g: The gradient.
            w: The weights before the update.
            *slots: The modifier's slots for this variable.
        """
        raise NotImplementedError

    def own_slots(self, optimizer: Any) -> list[Slot]:
        """The slots, with names that are unique in `optimizer`."""
        pairs = zip(self._slot_names(optimizer), declared(self.slots), strict=True)
        return [replace(slot, name=name) for name, slot in pairs]

    def run(
        self, optimizer: Any, h: Scalars, slots: dict[str, Tensor], x: Tensor, g: Tensor, w: Tensor
    ) -> Tensor:
        """Applies the modifier; reads its slots from `slots` and writes them back."""
        own = {
            name: resolve(getattr(self, name), h.t - 1, w.dtype)
            for name in declared_arguments(type(self))
        }
        names = self._slot_names(optimizer)
        result = self(h.replace(**own), x, g, w, *(slots[name] for name in names))
        if not names:
            return result
        x, *new = result
        slots.update(zip(names, new, strict=True))
        return x

    def _slot_names(self, optimizer: Any) -> list[str]:
        """Names that stay the same when modifiers of other classes are added, moved or removed."""
        alike = [m for m in (*optimizer.before, *optimizer.after) if type(m) is type(self)]
        number = 1 + next(i for i, m in enumerate(alike) if m is self)
        owner = type(self).__name__.lower() + (f"_{number}" if number > 1 else "")
        return [f"{owner}_{slot.name}" for slot in declared(self.slots)]

    def __setattr__(self, name: str, value: Any) -> None:
        if name in vars(self):
            raise AttributeError(
                f"`{name}` of {type(self).__name__} is part of compiled steps and cannot become "
                f"{value!r}. Make a new modifier, or give it a schedule."
            )
        super().__setattr__(name, value)
