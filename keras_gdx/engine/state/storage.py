"""How a slot is stored between steps: in its dtype, or quantized to 8 bits.

Rules see float tensors; quantization is confined to this file. `decode` and `encode` are pure,
so they can be compiled into an update.
"""

import math
from functools import reduce

import keras
import numpy as np
from keras import ops

from keras_gdx.backends import backend

BLOCK = 256
SMALLEST = 16 * BLOCK  # quantizing smaller slots saves too little
SHORTEST = 4  # values with one scale; so does quantizing shorter rows
TINY = float(np.finfo("float32").tiny)


class Storage:
    """Variables, and the mapping between their contents and the values that they store.

    Attributes:
        variables: The variables.
        shape: The shape of the values.
        here: Whether this process has all values.
    """

    variables: tuple = ()
    shape: tuple[int, ...]
    here = True

    def decode(self, contents):
        """Returns the values, given the contents of the variables."""
        raise NotImplementedError

    def encode(self, value):
        """Returns the contents that store `value`, one for each variable."""
        raise NotImplementedError

    def decode_rows(self, contents):
        """As `decode`, for the same rows of each of the variables."""
        return self.decode(contents)

    def encode_rows(self, value):
        """As `encode`, for some rows."""
        return self.encode(value)

    def read(self, copies=None):
        """Returns the values.

        Args:
            copies: Function that returns the values of a variable on all replicas. By default the
                variable's current value is used.
        """
        if copies is None:
            return self.decode(self.variables)
        return common([self.decode(each) for each in self._replicas(copies)])

    def _replicas(self, copies):
        """The contents on each replica."""
        return zip(*(copies(variable) for variable in self.variables), strict=True)

    def write(self, value):
        """Replaces the values."""
        for variable, content in zip(self.variables, self.encode(value), strict=True):
            variable.assign(ops.copy(content))  # on JAX no two variables may share an array

    def write_some(self, where, value):
        """Replaces the values where `where` is true; `value` has the full shape."""
        self.write(chosen(where, value, self.read()))


class Plain(Storage):
    """One variable that holds the values themselves."""

    def __init__(self, variable):
        self.variables = (variable,)
        self.shape = tuple(variable.shape)

    def decode(self, contents):
        return contents[0]

    def encode(self, value):
        return (ops.cast(value, self.variables[0].dtype),)


class EightBit(Storage):
    """One byte per value and one float32 scale per block, of 256 values or of one row.

    The 8-bit codes are spaced by a power law, densest near zero: an update divides by small second
    moments, which linear codes would round to 0.
    """

    def __init__(self, codes, scales, shape, *, signed):
        self.variables = (codes, scales)
        self.block = codes.shape[1]
        self.shape = shape
        self.signed = signed
        self.levels = 127 if signed else 255

    def decode(self, contents):
        return ops.reshape(self._decoded(*contents)[: math.prod(self.shape)], self.shape)

    def encode(self, value):
        flat = ops.reshape(ops.cast(value, "float32"), (-1,))
        size = math.prod(self.shape)
        whole = size // self.block * self.block
        contents = self._encoded(flat[:whole])
        # The last block is encoded separately: padding all values compiles to slow loops.
        if size % self.block:
            last = self._encoded(ops.pad(flat[whole:], [(0, self.block - size % self.block)]))
            contents = [ops.concatenate(pair) for pair in zip(contents, last, strict=True)]
        return contents

    def decode_rows(self, contents):
        return ops.reshape(self._decoded(*contents), (-1, *self.shape[1:]))

    def encode_rows(self, value):
        return self._encoded(ops.cast(value, "float32"))

    def _decoded(self, codes, scales):
        x = ops.cast(codes, "float32") * (1 / self.levels)
        x = x * ops.abs(x) if self.signed else ops.square(ops.square(x))
        return ops.reshape(x * scales, (-1,))

    def _encoded(self, values):
        blocks = ops.reshape(values, (-1, self.block))
        sizes = ops.abs(blocks)
        scales = _largest(sizes)
        x = self._root(sizes) * (self.levels / self._root(ops.maximum(scales, TINY)))
        if self.signed:
            x = ops.where(blocks < 0, -x, x)
        return [_rounded(x, self.variables[0].dtype), scales]

    def _root(self, x):
        return ops.sqrt(x) if self.signed else ops.sqrt(ops.sqrt(x))


def _largest(rows):
    """The maximum of every row, as a column."""
    # XLA on a CPU compares the entries of a row one by one, but tensors in vectors.
    if rows.shape[1] % 4 == 0:
        rows = reduce(ops.maximum, ops.split(rows, 4, axis=1))
    return ops.max(rows, axis=1, keepdims=True)


def _rounded(x, dtype):
    """The nearest integers, in a dtype of 8 bits, to which a cast of floats is slow in XLA."""
    # Around 1.5 * 2**23 the spacing of floats is 1, so that their last bits count integers.
    return ops.cast(ops.view(x + 1.5 * 2.0**23, "int32"), dtype)


class Sharded(Storage):
    """Storage of which every replica holds its own shard.

    Args:
        shard: The storage of one shard; its variables differ between replicas.
        bucket: The bucket that it belongs to.
        local_replicas: The indices of the replicas of this process.
    """

    def __init__(self, shard, bucket, local_replicas):
        self.shard = shard
        self.bucket = bucket
        self.local_replicas = local_replicas
        self.variables = shard.variables
        self.shape = bucket.uncut_shape(shard.shape)
        self.here = len(local_replicas) == bucket.replicas

    def decode(self, contents):
        return self.shard.decode(contents)

    def encode(self, value):
        return self.shard.encode(value)

    def read(self, copies=None):
        if not (self.here or copies):
            raise ValueError(
                f"The state of `{self.variables[0].path}` is sharded over several workers, so "
                "one of them cannot read all of it."
            )
        shards = [self.decode(each) for each in self._replicas(copies or _now)]
        return self.bucket.uncut(ops.stack(shards))

    def write(self, value):
        self.write_some(True, value)

    def write_some(self, where, value):
        whole = ops.broadcast_to(where, self.shape)
        olds = self._replicas(_now)
        for replica, copies, old in zip(
            self.local_replicas, self._replicas(backend.copies), olds, strict=True
        ):
            new = self.bucket.cut(value, replica)
            new = chosen(self.bucket.cut(whole, replica), new, self.decode(old))
            for copy, content in zip(copies, self.encode(new), strict=True):
                copy.assign(content)


class PartialSums(Storage):
    """A variable to which every replica adds separately; the value is the sum over replicas.

    Args:
        variable: The variable.
        replicas: The number of replicas.
        here: How many of them are in this process.
    """

    def __init__(self, variable, replicas, here):
        self.variables = (variable,)
        self.shape = tuple(variable.shape)
        self.replicas = replicas
        self.here = here == replicas

    def read(self, copies=None):
        return sum(value for (value,) in self._replicas(copies or _now))

    def write(self, value):
        self.write_some(True, value)

    def write_some(self, where, value):
        # The base class needs `read`, which lacks the replicas of other processes.
        for (copy,) in self._replicas(backend.copies):
            copy.assign(chosen(where, ops.cast(value, copy.dtype) / self.replicas, copy))


class Largest(PartialSums):
    """A variable in which every replica keeps its own maximum; the value is the largest of them."""

    def read(self, copies=None):
        return reduce(ops.maximum, (value for (value,) in self._replicas(copies or _now)))

    def write_some(self, where, value):
        for (copy,) in self._replicas(backend.copies):
            copy.assign(chosen(where, ops.cast(value, copy.dtype), copy))


def common(values):
    """One value for several replicas: the one they agree on, or the mean of floats.

    For other dtypes, such as the seeds of layers, it is the value of the first replica.
    """
    first, *others = (ops.convert_to_numpy(value) for value in values)
    if all(np.array_equal(first, other) for other in others):
        return first
    if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(first.dtype)):
        return first
    return np.mean([x.astype("float64") for x in (first, *others)], axis=0).astype(first.dtype)


def _now(variable):
    """The values of a variable on all replicas of this process."""
    return [backend.snapshot(copy) for copy in backend.copies(variable)]


def chosen(where, new, old):
    """`new`, cast to the dtype of `old`, where `where` is true, or everywhere if it is `None`."""
    old = ops.convert_to_tensor(old)
    new = ops.cast(new, old.dtype)
    return new if where is None else ops.where(where, new, old)
