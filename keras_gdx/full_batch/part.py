"""A batch as a part of a sum over the whole data set.

A batch has the same role as a replica's part of a global batch: a loss that is a mean over the
examples counts with the share of its examples, and one that counts masks or sample weights is
divided by the count over all batches.
"""

import tensorflow as tf

from keras_gdx.distribute.batch_share import STRIDE, BatchShare


class Part(BatchShare):
    """One batch of the data.

    Attributes:
        counts: What the losses counted in this batch, in the order of the losses.

    Args:
        size: Number of examples in this batch.
        value: This batch's share of all examples.
        index: The number of this batch.
        totals: The sums of `counts` over all batches; `None` while they are being counted.
    """

    gathers = False

    def __init__(self, size, value, index, totals):
        self.replicas = 1
        self.size = size
        self.value = value
        self.even = False
        self.loss_call = None
        self.scaled = False
        self.by_gradient = False
        self.index = index
        self.totals = totals
        self.counts = []

    def total(self, tensor):
        self.counts.append(tf.where(self.value > 0, tensor, tf.zeros_like(tensor)))
        return tensor if self.totals is None else self.totals[len(self.counts) - 1]

    def seed(self, seed):
        index = tf.cast(self.index, seed.dtype)
        return seed + tf.stack([index * tf.constant(STRIDE, seed.dtype), tf.zeros_like(index)])
