"""The weight of one replica's batch in the global batch.

Keras divides a loss by the number of replicas. That is correct only if all replicas have equally
many examples and Keras itself averages the loss. Here a replica with `n_r` of `n` examples has
the share `n_r / n`, and

    sum over replicas of  share * (mean loss of the replica's examples)

is the loss of the global batch, for any split. Means that are not over examples (masks,
`mean_with_sample_weight`) use counts summed over all replicas. A loss function that returns a
scalar is computed on every replica from the outputs of all replicas.
"""

import threading
from contextlib import contextmanager

import keras
import tensorflow as tf
from keras import ops
from keras.src.backend.common.masking import get_keras_mask, set_keras_mask  # to gather masks
from keras.src.losses import loss as keras_loss  # applies masks and sample weights

from keras_gdx.backends import backend


class MustTalkError(Exception):
    """A collective operation is needed inside a function compiled by XLA, which cannot run one."""


_here = threading.local()  # every replica of a process runs in its own thread
STRIDE = 0x9E3779B9  # spreads the replicas' seeds over the generator's keys


def current():
    """The `BatchShare` of the replica step that this thread is running, or `None`."""
    return getattr(_here, "share", None)


class BatchShare:
    """One replica's part of a step.

    Attributes:
        replicas: Number of replicas.
        size: Number of examples on this replica.
        value: This replica's share of the global batch, `size` divided by the global size.
        even: Whether all replicas are known to have equally many examples.
        asked: Whether any loss was scaled. If not, summing gradients over the replicas
            would not give their mean.
        held: Inside `holding`, the list that collects gradients and their variables.

    Args:
        x: Inputs of this replica.
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
        # a step traced for a static batch size runs with that size on all replicas
        self.even = first.shape[:1].is_fully_defined() and not tf.executing_eagerly()
        if self.even:
            self.value = tf.constant(1 / self.replicas)
        else:
            size = tf.cast(self.size, "float32")
            self.value = tf.math.divide_no_nan(size, self.total(size))

    @contextmanager
    def entered(self):
        """Context in which losses are this replica's share of the global loss."""
        _here.share = self
        try:
            yield self
        finally:
            _here.share = None

    @contextmanager
    def means(self):
        """Context in which losses are means over this replica's examples."""
        before, self._means = self._means, True
        try:
            yield
        finally:
            self._means = before

    @contextmanager
    def holding(self):
        """Context without communication: gradients are collected in the list that it yields."""
        self.held = []
        try:
            yield self.held
        finally:
            self.held = None

    def total(self, tensor):
        """The sum of a tensor over all replicas; raises `MustTalkError` inside `holding`."""
        self._require_talk()
        return self._context.all_reduce(tf.distribute.ReduceOp.SUM, tensor)

    def scale(self, loss):
        """Converts a mean over this replica's examples to its share of the global loss."""
        self.asked = True
        if self._means:
            return loss
        share = loss * ops.cast(self.value, loss.dtype)
        return tf.where(self.size > 0, share, tf.zeros_like(share))

    def gradient(self, gradient):
        """This replica's gradient, set to zero (instead of NaN) if it has no examples."""
        values = backend.values(gradient)
        kept = tf.where(self.size > 0, values, tf.zeros_like(values))
        return backend.with_values(gradient, kept)

    def unscale(self, loss):
        """Inverts `scale`."""
        return loss if self._means else self._mean(loss)

    def _mean(self, share):
        return tf.math.divide_no_nan(share, ops.cast(self.value, share.dtype))

    # -- losses -----------------------------------------------------------------------------

    def loss(self, compute, y_true, y_pred, sample_weight):
        """This replica's share of a Keras loss, where `compute` is the loss's `__call__`."""
        with self.means():
            self._scalar = False
            found = compute(y_true, y_pred, sample_weight)
            if self._scalar:
                found = self._of_all(compute, y_true, y_pred, sample_weight)
        return self.scale(found)

    def reduce(self, compute, values, sample_weight, mask, reduction, dtype):
        """Reduces the values of a loss; `compute` is Keras' own reduction.

        The result, times this replica's share and summed over replicas, is the global reduction.
        """
        local = compute(values, sample_weight, mask, reduction, dtype)
        if len(values.shape) == 0:
            self._scalar = not self._gathered
            return local
        if reduction in (None, "none", "sum"):
            return self._mean(local)
        local = tf.reduce_sum(local)  # Keras does not reduce an empty tensor
        weighted = reduction == "mean_with_sample_weight" and sample_weight is not None
        if mask is None and not weighted:
            return local
        weights = ops.convert_to_tensor(sample_weight, dtype=dtype) if weighted else None
        kept = keras_loss.apply_mask(weights, mask, dtype or local.dtype, "sum")
        count = tf.reduce_sum(ops.cast(kept, local.dtype))
        return self._mean(local * tf.math.divide_no_nan(count, self.total(count)))

    def _of_all(self, compute, y_true, y_pred, sample_weight):
        """A loss of the outputs of all replicas; its gradient is with respect to this one's."""
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
        """`x` of all replicas, concatenated; gradients flow to this replica's part only."""
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
        """A different seed for each replica; the first one keeps `seed`."""
        place = tf.cast(self._context.replica_id_in_sync_group, seed.dtype)
        return seed + tf.stack([place * tf.constant(STRIDE, seed.dtype), tf.zeros_like(place)])
