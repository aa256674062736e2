"""What one replica's batch counts for in the global one.

Keras divides a loss by the number of replicas. That is right for equal parts of a batch
and a loss that Keras itself averages, and for nothing else. Here a replica that has
`n_r` of `n` examples has the share `n_r / n`, and

    sum over replicas of  share * (loss of the replica's part, as a mean over it)

is the loss of the global batch, whatever the parts. Averages that are not over examples
(masks, `mean_with_sample_weight`) take their counts from all replicas. A loss that returns
a scalar is computed from the outputs of all replicas, on each of them.
"""

import threading
from contextlib import contextmanager

import keras
import tensorflow as tf
from keras import ops
from keras.src.backend.common.masking import get_keras_mask, set_keras_mask  # masks go along
from keras.src.losses import loss as keras_loss  # counts what masks and weights leave

from keras_gdx.backends import backend


class MustTalkError(Exception):
    """Replicas would have to talk where they cannot, inside of what XLA compiles."""


_here = threading.local()  # every replica of a process has a thread of its own
STRIDE = 0x9E3779B9  # far apart in the generator's keys


def current():
    """The `BatchShare` of the replica whose step is running here, or `None`."""
    return getattr(_here, "share", None)


class BatchShare:
    """One replica's part of a step.

    Attributes:
        replicas: How many replicas there are.
        size: How many examples this one has.
        value: Their share in the global batch.
        even: Whether all replicas are known to have as many.
        asked: Whether any loss was scaled. In a step in which none was, the sum over
            replicas would be taken for the mean.
        held: While gradients are held back, a list that gets them and their variables.

    Args:
        x: The inputs of this replica.
    """

    def __init__(self, x):
        self._context = tf.distribute.get_replica_context()
        first = next(part for part in keras.tree.flatten(x) if part is not None)
        self.replicas = self._context.num_replicas_in_sync
        self.size = tf.shape(first)[0]
        self.asked = False
        self.held: list | None = None
        self._means = False
        self._scalar = False
        self._gathered = False
        # a compiled step for one size is one for all replicas
        self.even = first.shape[:1].is_fully_defined() and not tf.executing_eagerly()
        if self.even:
            self.value = tf.constant(1 / self.replicas)
        else:
            size = tf.cast(self.size, "float32")
            self.value = tf.math.divide_no_nan(size, self.total(size))

    @contextmanager
    def entered(self):
        """Inside this context, losses are those of the global batch."""
        _here.share = self
        try:
            yield self
        finally:
            _here.share = None

    @contextmanager
    def means(self):
        """Inside this context, losses are means over this replica's part."""
        before, self._means = self._means, True
        try:
            yield
        finally:
            self._means = before

    @contextmanager
    def holding(self):
        """Inside this context nothing is sent: gradients wait in the list that it gives."""
        self.held = []
        try:
            yield self.held
        finally:
            self.held = None

    def total(self, tensor):
        """The sum of a tensor over all replicas; raises `MustTalkError` if nothing may be sent."""
        self._require_talk()
        return self._context.all_reduce(tf.distribute.ReduceOp.SUM, tensor)

    def scale(self, loss):
        """A mean over this part, as its share of the loss of the whole batch."""
        self.asked = True
        if self._means:
            return loss
        share = loss * ops.cast(self.value, loss.dtype)
        return tf.where(self.size > 0, share, tf.zeros_like(share))

    def gradient(self, gradient):
        """This part's gradient: that of no example is nothing, not the mean of nothing."""
        values = backend.values(gradient)
        kept = tf.where(self.size > 0, values, tf.zeros_like(values))
        return backend.with_values(gradient, kept)

    def unscale(self, loss):
        """The mean that `scale` was given."""
        return loss if self._means else self._mean(loss)

    def _mean(self, share):
        return tf.math.divide_no_nan(share, ops.cast(self.value, share.dtype))

    # -- losses -----------------------------------------------------------------------------

    def loss(self, compute, y_true, y_pred, sample_weight):
        """What a Keras loss, called as `compute`, is worth on this replica."""
        with self.means():
            self._scalar = False
            found = compute(y_true, y_pred, sample_weight)
            if self._scalar:
                found = self._of_all(compute, y_true, y_pred, sample_weight)
        return self.scale(found)

    def reduce(self, compute, values, sample_weight, mask, reduction, dtype):
        """The mean of the values of a loss over this part; `compute` is Keras' own.

        Times its share, and summed, it is the mean over the whole batch.
        """
        local = compute(values, sample_weight, mask, reduction, dtype)
        if len(values.shape) == 0:
            self._scalar = not self._gathered
            return local
        if reduction in (None, "none", "sum"):
            return self._mean(local)
        local = tf.reduce_sum(local)  # Keras leaves no values at all as they are
        weighted = reduction == "mean_with_sample_weight" and sample_weight is not None
        if mask is None and not weighted:
            return local
        weights = ops.convert_to_tensor(sample_weight, dtype=dtype) if weighted else None
        kept = keras_loss.apply_mask(weights, mask, dtype or local.dtype, "sum")
        count = tf.reduce_sum(ops.cast(kept, local.dtype))
        return self._mean(local * tf.math.divide_no_nan(count, self.total(count)))

    def _of_all(self, compute, y_true, y_pred, sample_weight):
        """A loss from the outputs of all replicas; its gradient is that of this one's."""
        self._gathered = True
        whole = compute(
            keras.tree.map_structure(self._all, y_true),
            keras.tree.map_structure(self._all, y_pred),
            None if sample_weight is None else self._all(sample_weight),
        )
        self._gathered = False
        value = tf.stop_gradient(whole)
        return value + self._mean(whole - value)

    def _require_talk(self):
        if self.held is not None:
            raise MustTalkError

    def _all(self, x):
        """`x` of all replicas, one after the other; constant but for this replica's."""
        self._require_talk()
        x = tf.convert_to_tensor(x)
        length = tf.shape(x)[:1]
        lengths = self._context.all_gather(length, axis=0)
        begin = tf.reduce_sum(lengths[: self._context.replica_id_in_sync_group])
        others = self._context.all_gather(tf.stop_gradient(x), axis=0)
        joined = tf.concat([others[:begin], x, others[begin + length[0] :]], axis=0)
        if (mask := get_keras_mask(x)) is not None:
            mask = self._context.all_gather(tf.cast(mask, "int32"), axis=0)
            set_keras_mask(joined, tf.cast(mask, "bool"))
        return joined

    # -- random numbers ---------------------------------------------------------------------

    def seed(self, seed):
        """A seed of this replica's own; the first replica's is the one that all would have."""
        place = tf.cast(self._context.replica_id_in_sync_group, seed.dtype)
        return seed + tf.stack([place * tf.constant(STRIDE, seed.dtype), tf.zeros_like(place)])
