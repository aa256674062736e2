"""Masks of pruned weights, which hold in every copy of the weights.

Older weights are not zero where the mask is now, and neither are averages with them. So whatever
puts such a copy in the place of the weights applies the mask to it.
"""

from typing import Any

import keras
import numpy as np
from keras import ops


class Masked(keras.constraints.Constraint):
    """Keeps pruned weights at zero in every update, after the variable's own constraint."""

    def __init__(self, variable: Any):
        self.inner = variable.constraint
        self.mask = keras.Variable(np.ones(variable.shape, "uint8"), trainable=False, dtype="uint8")

    @property
    def variables(self) -> list[Any]:
        """The state of this constraint."""
        return [self.mask]

    def __call__(self, w: Any) -> Any:
        w = w if self.inner is None else self.inner(w)
        return w * ops.cast(self.mask, w.dtype)

    def renew(self, variable: Any, mask: np.ndarray) -> None:
        """Applies a new mask."""
        self.mask.assign(mask)
        variable.assign(variable * ops.cast(self.mask, variable.dtype))

    def begin(self, variable: Any) -> None:
        """Resets the mask to keep all weights."""
        self.mask.assign(ops.ones_like(self.mask))


def masked(constraint, value):
    """A copy of the weights with this constraint, zero where their mask is."""
    if not isinstance(constraint, Masked):
        return value
    return value * ops.cast(constraint.mask, value.dtype)


def hold(variable, copy=None):
    """Applies the variable's mask, if it has one, to the variable itself or to a copy of it."""
    copy = variable if copy is None else copy
    if isinstance(constraint := getattr(variable, "constraint", None), Masked):
        copy.assign(masked(constraint, ops.convert_to_tensor(copy)))
