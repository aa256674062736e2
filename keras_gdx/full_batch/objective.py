"""The loss of the whole data set as a function of one flat vector."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_gdx.distribute import losses
from keras_gdx.distribute.loss_call import LossCall
from keras_gdx.full_batch.data import size_of
from keras_gdx.full_batch.part import Part
from keras_gdx.integration.training_loss import in_dtype, training_loss


class Objective:
    """Value, gradient and Hessian-vector products of a model's training loss.

    Computing them changes nothing: random generators stay where they are, so that dropout has the
    same masks each time, and statistics such as those of `BatchNormalization` are only kept by
    `write`.

    Args:
        model: A built Keras model.
        data: The `Data`.
        dtype: Dtype to compute in. `None`: the model's own.
        jit_compile: Whether XLA compiles what is computed for a batch.
    """

    def __init__(self, model, data, dtype, jit_compile):
        self.model = model
        self.data = data
        self.dtype = dtype
        self.variables = model.trainable_weights
        self._statistics = model.non_trainable_weights
        self._updated: Any = None
        self._shapes = [tuple(v.shape) for v in self.variables]
        self._sizes = [int(np.prod(shape)) for shape in self._shapes]
        self._gradient = self._on_replicas(self._gradient_of_batch, jit_compile)
        self._product = self._on_replicas(self._product_of_batch, jit_compile)
        self._totals: Any = [] if data.single else self._count()

    # -- the flat vector ----------------------------------------------------------------------

    def read(self):
        """The weights as a flat vector."""
        parts = [keras.ops.convert_to_numpy(v).astype("float64").ravel() for v in self.variables]
        return np.concatenate(parts)

    def write(self, w):
        """Assigns a flat vector to the weights, with the statistics of the last evaluation."""
        parts = np.split(w, np.cumsum(self._sizes)[:-1])
        for variable, part, shape in zip(self.variables, parts, self._shapes, strict=True):
            variable.assign(part.reshape(shape))
        for variable, value in zip(self._statistics, self._updated or (), strict=False):
            if not variable.trainable and value is not None:
                variable.assign(value)

    # -- over all batches ---------------------------------------------------------------------

    def __call__(self, w):
        """The loss and its gradient."""
        loss, gradient = self._sum(self._gradient, w)
        return loss.numpy(), gradient.numpy()

    def product(self, w, v):
        """The Hessian times `v`."""
        (product,) = self._sum(self._product, w, v)
        return product.numpy()

    def _sum(self, function, *vectors):
        constants = [tf.constant(vector) for vector in vectors]
        statistics = [tf.convert_to_tensor(v) for v in self._statistics]
        total: Any = None
        for batches in self.data:
            found, statistics = function(constants, batches, self._totals, statistics)
            if not found:  # the losses count nothing
                return found
            total = found if total is None else [a + b for a, b in zip(total, found, strict=True)]
        self._updated = statistics
        return total

    def _count(self):
        """Sums over the batches of what losses with masks or weighted means divide by."""
        self._totals = None
        counts = self._sum(self._on_replicas(self._counts_of_batch, False), self.read())
        self._updated = None
        return counts

    def _on_replicas(self, of_batch, jit_compile):
        """A function of a batch as one of a batch for each replica, with the sum of the results."""
        strategy = self.model.distribute_strategy
        one = tf.function(of_batch, autograph=False, jit_compile=True) if jit_compile else of_batch

        def on_replica(vectors, batches, *rest):
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            return one(vectors, batches[tf.get_static_value(replica)], *rest)

        def function(vectors, batches, totals, statistics):
            found = strategy.run(on_replica, args=(vectors, batches, totals, statistics))
            sums, statistics = keras.tree.map_structure(strategy.experimental_local_results, found)
            shares = [batch.share for batch in batches]
            return [tf.add_n(x) for x in sums], [_mean(x, shares) for x in statistics]

        return tf.function(function, autograph=False)

    # -- of one batch, compiled ---------------------------------------------------------------

    def _counts_of_batch(self, vectors, *rest):
        _, counts, statistics = self._loss(*vectors, *rest)
        return counts, statistics

    def _gradient_of_batch(self, vectors, *rest):
        (w,) = vectors
        with tf.GradientTape() as tape:
            tape.watch(w)
            loss, _, statistics = self._loss(w, *rest)
        return [loss, tape.gradient(loss, w, unconnected_gradients="zero")], statistics

    def _product_of_batch(self, vectors, *rest):
        w, v = vectors
        with tf.autodiff.ForwardAccumulator(w, v) as forward:
            (_, gradient), statistics = self._gradient_of_batch([w], *rest)
        return [forward.jvp(gradient, unconnected_gradients="zero")], statistics

    def _loss(self, w, batch, totals, statistics):
        """This batch's share of the loss, what its losses counted, and new statistics."""
        parts = tf.split(w, self._sizes)
        with keras.StatelessScope(collect_losses=True) as scope:
            for variable, value in zip(self._statistics, statistics, strict=True):
                scope.add_update((variable, value))
            for variable, part, shape in zip(self.variables, parts, self._shapes, strict=True):
                value = tf.cast(tf.reshape(part, shape), self.dtype or variable.dtype)
                scope.add_update((variable, value))
            with in_dtype(self.model, self.dtype):
                loss, counts = self._share_of_loss(batch, totals)
            statistics = [scope.get_current_value(v) for v in self._statistics]
        return tf.cast(tf.reshape(loss, ()), "float64"), counts, statistics

    def _share_of_loss(self, batch, totals):
        if self.data.single:
            return training_loss(self.model, *batch.data), []
        losses.install()
        with Part(size_of(batch), batch.share, batch.index, totals).entered() as part:
            loss = LossCall(part, lambda: training_loss(self.model, *batch.data))()
        return loss, part.counts


def _mean(statistics, shares):
    """The mean over the examples of the replicas; the first value if it is not a number."""
    if not statistics[0].dtype.is_floating:
        return statistics[0]
    total = tf.add_n(shares)
    means = [
        tf.cast(x, "float64") * (share / total) for x, share in zip(statistics, shares, strict=True)
    ]
    return tf.cast(tf.add_n(means), statistics[0].dtype)
