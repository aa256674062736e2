"""Joins small tensors into one vector and splits it again, with few operations for each.

XLA compiles a kernel for every slice that differs from others in its size or offset: 13 ms each on
a CPU. So there the vector is cut into chunks first, at offsets that are known only at run time.
Slices with equal places in equal chunks then share a kernel.
"""

from itertools import accumulate
from math import isqrt, prod

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla  # private: `dynamic_slice`

from keras_gdx.backends.tensorflow.compiling import compiling


def join(tensors):
    """One vector of all entries of tensors or variables."""
    flat = tf.constant([-1])  # shared, as a constant takes as long to trace as what it is for
    tensors = [tf.convert_to_tensor(x) for x in tensors]
    return tf.concat([x if x.shape.rank == 1 else tf.reshape(x, flat) for x in tensors], axis=0)


def split(vector, shapes):
    """Tensors of these shapes that `join` would join into the vector."""
    return _shaped(tf.split(vector, list(map(prod, shapes))), shapes)


def split_result(vector, shapes):
    """As `split`, for a vector that was computed; what was only joined XLA splits for nothing."""
    devices = {device.device_type for device in tf.config.list_logical_devices()}
    if not compiling() or devices != {"CPU"}:
        return split(vector, shapes)
    return _shaped(_chunked(vector, list(map(prod, shapes))), shapes)


def _shaped(vectors, shapes):
    known = {shape: tf.constant(shape, tf.int32) for shape in set(shapes)}
    pairs = zip(vectors, shapes, strict=True)
    return [x if len(shape) == 1 else tf.reshape(x, known[shape]) for x, shape in pairs]


def _chunked(vector, sizes):
    """The parts of the vector, cut from chunks of it."""
    chunks = _chunks(sizes)
    if len(chunks) == 1:
        return tf.split(vector, sizes)
    lengths = [sum(chunk) for chunk in chunks]
    with tf.init_scope():  # a constant of this graph would become part of the kernel
        begins = [tf.constant([begin]) for begin in accumulate(lengths[:-1], initial=0)]
    return [
        part
        for chunk, begin, length in zip(chunks, begins, lengths, strict=True)
        for part in tf.split(xla.dynamic_slice(vector, begin, [length]), chunk)
    ]


def _chunks(sizes):
    """The sizes in chunks of one count, such that there are few chunks and different slices."""

    def chunks(count):
        return [sizes[i : i + count] for i in range(0, len(sizes), count)]

    def cost(count):
        different = {tuple(chunk) for chunk in chunks(count)}
        return len(sizes) / count + sum(map(len, different))

    counts = [*range(1, 2 * isqrt(len(sizes))), len(sizes)]
    return chunks(min(counts, key=cost))
