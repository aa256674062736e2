"""Masks of pruned weights, which hold in every copy of the weights.

Older weights are not zero where the mask is now, and neither are averages with them. So whatever
puts such a copy in the place of the weights applies the mask to it.

An update applies the mask apart from the rest of a constraint, which may be any Python code: the
mask alone does not keep an update from being compiled, or a variable from being packed.
"""

from typing import Any

import keras
import numpy as np
from keras import ops


class Masked(keras.constraints.Constraint):
    """Keeps pruned weights at zero in every update, after the variable's own constraint.

    Attributes:
        inner: What is applied before the mask: the constraint that the variable had, or `None`.
        mask: Variable of zeros and ones.
    """

    def __init__(self, variable: Any):
        self.inner = variable.constraint
        self.mask = keras.Variable(np.ones(variable.shape, "uint8"), trainable=False, dtype="uint8")

    @property
    def variables(self) -> list[Any]:
        """The state of this constraint."""
        return [self.mask]

    def __call__(self, w: Any) -> Any:
        return masked(w if self.inner is None else self.inner(w), self.mask)

    def renew(self, variable: Any, mask: np.ndarray) -> None:
        """Applies a new mask."""
        self.mask.assign(mask)
        variable.assign(masked(ops.convert_to_tensor(variable), self.mask))

    def begin(self, variable: Any) -> None:
        """Resets the mask to keep all weights."""
        self.mask.assign(ops.ones_like(self.mask))


def mask_of(variable):
    """The mask of a variable, or `None`."""
    constraint = getattr(variable, "constraint", None)
    return constraint.mask if isinstance(constraint, Masked) else None


def constraint_of(variable):
    """The constraint of a variable apart from its mask, or `None`."""
    constraint = variable.constraint
    return constraint.inner if isinstance(constraint, Masked) else constraint


def masked(value, mask):
    """The weights or a copy of them, zero where the mask is; unchanged if it is `None`."""
    return value if mask is None else value * ops.cast(mask, value.dtype)


def hold(variable, copy=None):
    """Applies the variable's mask, if it has one, to the variable itself or to a copy of it."""
    copy = variable if copy is None else copy
    if (mask := mask_of(variable)) is not None:
        copy.assign(masked(ops.convert_to_tensor(copy), mask))
