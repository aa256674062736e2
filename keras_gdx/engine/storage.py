"""How a slot is kept between steps: plainly, or in eight bits.

Rules see float tensors; only this file knows about codes. `decode` and `encode` are pure,
so that an update can be compiled with them inside.
"""

import math

from keras import ops

BLOCK = 256
SMALLEST = 16 * BLOCK  # smaller slots gain nothing from codes


class Storage:
    """Variables, and how values become their contents."""

    variables: tuple = ()

    def decode(self, contents):
        """Returns the values that the variables' contents stand for."""
        raise NotImplementedError

    def encode(self, value):
        """Returns the contents that stand for `value`, one for each variable."""
        raise NotImplementedError

    def read(self):
        """Returns the values."""
        return self.decode(self.variables)

    def write(self, value):
        """Replaces the values."""
        for variable, content in zip(self.variables, self.encode(value), strict=True):
            variable.assign(content)


class Plain(Storage):
    """One variable that holds the values themselves."""

    def __init__(self, variable):
        self.variables = (variable,)

    def decode(self, contents):
        return contents[0]

    def encode(self, value):
        return (ops.cast(value, self.variables[0].dtype),)


class EightBit(Storage):
    """One byte per value and one float32 scale per block of 256 values.

    Codes are spaced by a power law, dense near zero, because an update divides
    by small second moments and a linear code would round them to nothing.
    """

    def __init__(self, codes, scales, shape, *, signed):
        self.variables = (codes, scales)
        self.shape = shape
        self.power = 2 if signed else 4
        self.levels = 127 if signed else 255

    def decode(self, contents):
        codes, scales = contents
        x = ops.cast(codes, "float32") / self.levels
        x = ops.sign(x) * ops.abs(x) ** self.power * scales
        return ops.reshape(ops.reshape(x, (-1,))[: math.prod(self.shape)], self.shape)

    def encode(self, value):
        flat = ops.reshape(ops.cast(value, "float32"), (-1,))
        blocks = ops.reshape(ops.pad(flat, [(0, -math.prod(self.shape) % BLOCK)]), (-1, BLOCK))
        scale = ops.max(ops.abs(blocks), axis=1, keepdims=True)
        x = blocks / ops.maximum(scale, 1e-38)
        x = ops.sign(x) * ops.abs(x) ** (1 / self.power) * self.levels
        return ops.cast(ops.round(x), self.variables[0].dtype), scale


class Part:
    """The values of one variable in storage that it shares with others."""

    def __init__(self, whole, begin, shape):
        self.whole = whole
        self.begin = begin
        self.end = begin + math.prod(shape)
        self.shape = shape

    def read(self):
        """Returns the values."""
        return ops.reshape(self.whole.read()[self.begin : self.end], self.shape)

    def write(self, value):
        """Replaces the values."""
        old = ops.convert_to_tensor(self.whole.read())
        new = ops.reshape(ops.cast(value, old.dtype), (-1,))
        self.whole.write(ops.concatenate([old[: self.begin], new, old[self.end :]]))
