"""How a slot is kept between steps: plainly, or in eight bits.

Rules see float tensors; only this file knows about codes. `decode` and `encode` are pure,
so that an update can be compiled with them inside.
"""

import math

from keras import ops

from keras_gdx.engine import backend

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
        self.squarings = 1 if signed else 2  # x = scale * place ** 2, or ** 4
        self.levels = 127 if signed else 255

    def decode(self, contents):
        size = math.prod(self.shape)
        whole = size // BLOCK
        codes, scales = contents
        values = self._decoded(codes[:whole], scales[:whole])
        if size % BLOCK:
            last = self._decoded(codes[whole:], scales[whole:])[: size % BLOCK]
            values = ops.concatenate([values, last])
        return ops.reshape(values, self.shape)

    def encode(self, value):
        flat = ops.reshape(ops.cast(value, "float32"), (-1,))
        size = math.prod(self.shape)
        whole = size // BLOCK * BLOCK
        contents = self._encoded(flat[:whole])
        # Apart, because compilers make poor loops of a padded whole.
        if size % BLOCK:
            last = self._encoded(ops.pad(flat[whole:], [(0, BLOCK - size % BLOCK)]))
            contents = [ops.concatenate(pair) for pair in zip(contents, last, strict=True)]
        return contents

    def _decoded(self, codes, scales):
        place = ops.cast(codes, "float32") * (1 / self.levels)
        x = ops.abs(place)
        for _ in range(self.squarings):
            x = x * x
        return ops.reshape(ops.sign(place) * x * scales, (-1,))

    def _encoded(self, flat):
        blocks = ops.reshape(flat, (-1, BLOCK))
        scales = ops.max(ops.abs(blocks), axis=1, keepdims=True)
        place = ops.abs(blocks) / ops.maximum(scales, 1e-38)
        for _ in range(self.squarings):
            place = ops.sqrt(place)
        codes = ops.round(ops.sign(blocks) * place * self.levels)
        return [ops.cast(codes, self.variables[0].dtype), scales]


class Pieces(Storage):
    """Storage of which every replica has a piece of its own.

    Args:
        piece: The storage of a piece; its variables are other ones on every replica.
        group: The group that it belongs to.
        places: The numbers of the replicas of this process.
    """

    def __init__(self, piece, group, places):
        self.piece = piece
        self.group = group
        self.places = places
        self.variables = piece.variables
        self.decode = piece.decode
        self.encode = piece.encode

    @property
    def here(self):
        """Whether all pieces are in this process."""
        return len(self.places) == self.group.replicas

    def _copies(self):
        return zip(*(backend.copies(variable) for variable in self.variables), strict=True)

    def read(self):
        if not self.here:
            raise ValueError(
                f"The state of `{self.variables[0].path}` is spread over several workers, and one "
                "alone cannot read it."
            )
        pieces = [self.decode([copy.read_value() for copy in each]) for each in self._copies()]
        return self.group.uncut(ops.stack(pieces))

    def write(self, value):
        for place, copies in zip(self.places, self._copies(), strict=True):
            contents = self.encode(self.group.cut(value, place))
            for copy, content in zip(copies, contents, strict=True):
                copy.assign(content)


class Member:
    """The values of one variable in storage that has an axis for several."""

    def __init__(self, whole, place):
        self.whole = whole
        self.place = place

    def read(self):
        """Returns the values."""
        return self.whole.read()[self.place]

    def write(self, value):
        """Replaces the values."""
        members = ops.unstack(ops.convert_to_tensor(self.whole.read()))
        members[self.place] = ops.cast(value, members[self.place].dtype)
        self.whole.write(ops.stack(members))


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
