"""Slots: the state that an optimizer keeps per variable."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from keras_gdx.arguments import check
from keras_gdx.engine.low_precision import LOST
from keras_gdx.engine.skipped_rows import UPDATED
from keras_gdx.engine.variables.structure import Role

Shape = tuple[int, ...]
UNSET = math.nan  # marks a slot without a value: exists in every float dtype, never a valid value


@dataclass(frozen=True)
class Slot:
    """One kind of state per variable.

    Attributes:
        name: Name in the code and in files, e.g. `"momentum"`.
        init: Initial value: a number; `UNSET` if the variable's first update sets it (see
            `keras_gdx.math.started`); or `"variable"` for a copy of the variable. Such a
            copy is a weight, not a statistic, so `state_dtype` does not apply to it.
        shape: Function from the variable's shape to the slot's. If it returns `None`, this
            variable has no such slot, and the rule gets `None` for it.
        of_matrix: `True` if `shape` needs the variable's shape as a matrix, which is
            `(inputs, outputs)` also for kernels of convolutions and attention.
        exact: `True` if `state_dtype` does not apply, because rounding would destroy a property
            of the slot, such as being orthogonal, or round the weights that are computed from it.
        signed: `False` promises values >= 0, so that 8-bit codes need no sign bit.
        when: Argument of the rule (not of a modifier) that enables the slot. While it is
            `False`, `None` or 0, nothing is stored, and the rule gets 0.
        decays: Argument by whose value an update without a gradient multiplies the slot.
    """

    name: str
    init: float | str = 0.0
    shape: Callable[[Shape], Shape | None] = tuple
    of_matrix: bool = False
    exact: bool = False
    signed: bool = True
    when: str | None = None
    decays: str | None = None

    def shape_for(self, shape: Shape, role: Role) -> Shape | None:
        """The slot's shape for a variable of this shape and role, or `None`."""
        return self.shape(role.matrix_shape(shape) if self.of_matrix else shape)

    def __post_init__(self) -> None:
        allowed = "another name: the engine stores a state of its own under this one"
        check(self.name not in ("sum", LOST, UPDATED), "name", self.name, allowed)


def declared(slots: Iterable[Slot | str]) -> list[Slot]:
    """The slots that a class declares; one that needs no options may be declared by its name."""
    return [slot if isinstance(slot, Slot) else Slot(slot) for slot in slots]
