"""The loss of the whole data set as a function of one flat vector."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_gdx.distribute import losses
from keras_gdx.distribute.loss_call import LossCall
from keras_gdx.full_batch.data import rows
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
    """

    def __init__(self, model, data, dtype):
        self.model = model
        self.data = data
        self.dtype = dtype
        self.variables = model.trainable_weights
        self._statistics = model.non_trainable_weights
        self._updated: Any = None
        self._shapes = [tuple(v.shape) for v in self.variables]
        self._sizes = [int(np.prod(shape)) for shape in self._shapes]
        self._gradient = tf.function(self._gradient_of_batch, autograph=False)
        self._product = tf.function(self._product_of_batch, autograph=False)
        self._totals = self._count() if data.count > 1 else []

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
        return self._sum(self._gradient, tf.constant(w))

    def product(self, w, v):
        """The Hessian times `v`."""
        (product,) = self._sum(self._product, tf.constant(w), tf.constant(v))
        return product

    def _sum(self, function, *vectors):
        statistics = [tf.convert_to_tensor(v) for v in self._statistics]
        total: Any = None
        for batch in self.data:
            share = tf.constant(rows(batch[0]) / self.data.rows, "float64")
            *found, statistics = function(*vectors, batch, share, self._totals, statistics)
            total = found if total is None else [a + b for a, b in zip(total, found, strict=True)]
        self._updated = statistics
        return [x.numpy() for x in total]

    def _count(self):
        """Sums over the batches of what losses with masks or weighted means divide by."""

        @tf.function(autograph=False)
        def count(w, batch, statistics):
            return self._loss(w, batch, tf.constant(1.0, "float64"), None, statistics)[2]

        w = tf.constant(self.read())
        statistics = [tf.convert_to_tensor(v) for v in self._statistics]
        totals: Any = None
        for batch in self.data:
            found = count(w, batch, statistics)
            if not found:
                return []
            totals = (
                found if totals is None else [a + b for a, b in zip(totals, found, strict=True)]
            )
        return totals

    # -- of one batch, compiled ---------------------------------------------------------------

    def _gradient_of_batch(self, w, *rest):
        with tf.GradientTape() as tape:
            tape.watch(w)
            loss, statistics, _ = self._loss(w, *rest)
        gradient = tape.gradient(loss, w, unconnected_gradients="zero")
        return loss, gradient, statistics

    def _product_of_batch(self, w, v, *rest):
        with tf.autodiff.ForwardAccumulator(w, v) as forward:
            _, gradient, statistics = self._gradient_of_batch(w, *rest)
        return forward.jvp(gradient, unconnected_gradients="zero"), statistics

    def _loss(self, w, batch, share, totals, statistics):
        """This batch's share of the loss, new statistics, and what its losses counted."""
        parts = tf.split(w, self._sizes)
        with keras.StatelessScope(collect_losses=True) as scope:
            for variable, value in zip(self._statistics, statistics, strict=True):
                scope.add_update((variable, value))
            for variable, part, shape in zip(self.variables, parts, self._shapes, strict=True):
                value = tf.cast(tf.reshape(part, shape), self.dtype or variable.dtype)
                scope.add_update((variable, value))
            with in_dtype(self.model, self.dtype):
                loss, counts = self._share_of_loss(batch, share, totals)
            statistics = [scope.get_current_value(v) for v in self._statistics]
        return tf.cast(tf.reshape(loss, ()), "float64"), statistics, counts

    def _share_of_loss(self, batch, share, totals):
        if self.data.count == 1:
            return training_loss(self.model, *batch), []
        losses.install()
        with Part(rows(batch[0]), share, totals).entered() as part:
            loss = LossCall(part, lambda: training_loss(self.model, *batch))()
        return loss, part.counts
