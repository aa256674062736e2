"""How a slot is kept between steps: plainly, or in eight bits.

Rules read and write float tensors; only this file knows about codes.
"""

import math

from keras import ops

BLOCK = 256
SMALLEST = 16 * BLOCK  # smaller slots gain nothing from codes


class Plain:
    """One variable that holds the values themselves."""

    def __init__(self, variable):
        self.variables = (variable,)

    def read(self):
        """Returns the values."""
        return self.variables[0]

    def write(self, value):
        """Replaces the values."""
        self.variables[0].assign(ops.cast(value, self.variables[0].dtype))


class EightBit:
    """One byte per value and one float32 scale per block of 256 values.

    Codes are spaced by a power law, dense near zero, because an update divides
    by small second moments and a linear code would round them to nothing.
    """

    def __init__(self, codes, scales, shape, *, signed):
        self.variables = (codes, scales)
        self.shape = shape
        self.power = 2 if signed else 4
        self.levels = 127 if signed else 255

    def read(self):
        """Returns the decoded values, float32."""
        codes, scales = self.variables
        x = ops.cast(codes, "float32") / self.levels
        x = ops.sign(x) * ops.abs(x) ** self.power * scales
        return ops.reshape(ops.reshape(x, (-1,))[: math.prod(self.shape)], self.shape)

    def write(self, value):
        """Encodes and replaces the values."""
        codes, scales = self.variables
        flat = ops.reshape(ops.cast(value, "float32"), (-1,))
        blocks = ops.reshape(ops.pad(flat, [(0, -math.prod(self.shape) % BLOCK)]), (-1, BLOCK))
        scale = ops.max(ops.abs(blocks), axis=1, keepdims=True)
        x = blocks / ops.maximum(scale, 1e-38)
        x = ops.sign(x) * ops.abs(x) ** (1 / self.power) * self.levels
        codes.assign(ops.cast(ops.round(x), codes.dtype))
        scales.assign(scale)
