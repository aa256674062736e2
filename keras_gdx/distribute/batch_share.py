"""The weight of one replica's batch in the global batch.

Keras divides a loss by the number of replicas. That is correct only if all replicas have equally
many examples and Keras itself averages the loss. Here a replica with `n_r` of `n` examples has
the share `n_r / n`, and

    sum over replicas of  share * (mean loss of the replica's examples)

is the loss of the global batch, for any split. A custom train step may add terms of its own to the
loss. There the gradients get the share instead, and every term counts as a mean over the examples.
"""

from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
import tensorflow as tf
from keras import ops
from keras.src.backend.common.masking import get_keras_mask, set_keras_mask  # to gather masks

from keras_gdx.backends import backend
from keras_gdx.integration.held_gradients import holding


class NeedsCommunicationError(Exception):
    """A collective operation is needed inside a function compiled by XLA, which cannot run one."""


COMMUNICATION = ("all_reduce", "all_gather", "merge_call")  # methods of a replica context
_share: ContextVar = ContextVar("share", default=None)  # every replica has a context of its own
STRIDE = 0x9E3779B9  # spreads the replicas' seeds over the generator's keys


def current():
    """The `BatchShare` of the replica step that is running here, or `None`."""
    return _share.get()


class BatchShare:
    """One replica's part of a step.

    Attributes:
        replicas: Number of replicas.
        size: Number of examples on this replica.
        value: This replica's share of the global batch, `size` divided by the global size.
        even: Whether all replicas are known to have equally many examples.
        loss_call: The innermost `LossCall` in progress, or `None`. Inside one, losses are means
            over this replica's examples; outside, they are its share of the global loss.
        scaled: Whether any loss was scaled. If not, nothing says that the loss is a mean.
        gathers: Whether a loss that returns a scalar is computed from the outputs of all replicas.
            Otherwise it counts as a mean over the examples.

    Args:
        x: Inputs of this replica.
        by_gradient: Whether gradients get the share, instead of losses.
    """

    gathers = True

    def __init__(self, x, by_gradient=False):
        first = next(part for part in keras.tree.flatten(x) if part is not None)
        self.replicas = self._context.num_replicas_in_sync
        self.size = tf.shape(first)[0]
        self.loss_call: Any = None
        self.scaled = False
        self.by_gradient = by_gradient
        # a step traced for a static batch size runs with that size on all replicas
        self.even = first.shape[:1].is_fully_defined() and not tf.executing_eagerly()
        if self.even:
            self.value = tf.constant(1 / self.replicas)
        else:
            size = tf.cast(self.size, "float32")
            self.value = tf.math.divide_no_nan(size, self.total(size))

    @property
    def _context(self):
        """The replica's context, which is another one inside a branch that all replicas take."""
        return tf.distribute.get_replica_context()

    @contextmanager
    def entered(self):
        """Context in which losses are those of this replica."""
        token = _share.set(self)
        try:
            yield self
        finally:
            _share.reset(token)

    # -- losses and gradients ---------------------------------------------------------------

    def scale(self, loss):
        """Converts a mean over this replica's examples to its share of the global loss."""
        self.scaled = True
        if self.loss_call is not None or self.by_gradient:
            return loss
        share = loss * ops.cast(self.value, loss.dtype)
        return tf.where(self.size > 0, share, tf.zeros_like(share))

    def unscale(self, loss):
        """Inverts `scale`."""
        means = self.loss_call is not None or self.by_gradient
        return loss if means else self.mean_of(loss)

    def mean_of(self, share):
        """The value whose share this is."""
        return tf.math.divide_no_nan(share, ops.cast(self.value, share.dtype))

    def gradient(self, gradient):
        """This replica's part of a gradient: none, instead of NaN, if it has no examples."""
        if self.even and not self.by_gradient:
            return gradient
        values = backend.values(gradient)
        if self.by_gradient:
            values = values * tf.cast(self.value, values.dtype)
        kept = tf.where(self.size > 0, values, tf.zeros_like(values))
        return backend.with_values(gradient, kept)

    # -- communication ----------------------------------------------------------------------

    @contextmanager
    def holding(self):
        """Context without communication: gradients are held in the list that it yields.

        Layers may communicate too, such as `BatchNormalization(synchronized=True)`.
        """

        def refuse(*args, **kwargs):
            raise NeedsCommunicationError

        methods = vars(self._context)
        methods.update(dict.fromkeys(COMMUNICATION, refuse))
        try:
            with holding() as held:
                yield held
        finally:
            for name in COMMUNICATION:
                del methods[name]

    def total(self, tensor):
        """The sum of a tensor over all replicas.

        Raises:
            NeedsCommunicationError: Inside `holding`.
        """
        return self._context.all_reduce(tf.distribute.ReduceOp.SUM, tensor)

    def gather(self, x):
        """`x` of all replicas, concatenated; gradients flow to this replica's part only.

        Raises:
            NeedsCommunicationError: Inside `holding`.
        """
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
        index = tf.cast(self._context.replica_id_in_sync_group, seed.dtype)
        return seed + tf.stack([index * tf.constant(STRIDE, seed.dtype), tf.zeros_like(index)])
