"""One computation of a loss on one of several replicas.

Means that are not over examples (masks, `mean_with_sample_weight`) use counts summed over all
replicas. A loss function that returns a scalar is computed on every replica from the outputs of
all replicas.
"""

import keras
import tensorflow as tf
from keras import ops
from keras.src.losses import loss as keras_loss  # applies masks and sample weights


class LossCall:
    """A call of a Keras loss, or of a model's `compute_loss`, on one replica.

    Called with its arguments, it returns this replica's share of the global loss, or, inside
    another call, the mean that has this share.

    Args:
        share: The `BatchShare` of the replica.
        compute: The loss's `__call__` or the model's `compute_loss`.
    """

    def __init__(self, share, compute):
        self.share = share
        self.compute = compute
        self._outer = share.loss_call
        self._scalar = False  # whether the loss function returned a scalar
        self._gathered = getattr(self._outer, "_gathered", False)  # whether outputs are of all

    def __call__(self, *args, **kwargs):
        self.share.loss_call = self
        try:
            loss = self.compute(*args, **kwargs)
            if self._scalar and not self._gathered and self.share.gathers:
                loss = self._of_all_replicas(*args)
        finally:
            self.share.loss_call = self._outer
        return self.share.scale(ops.convert_to_tensor(loss))

    def reduce(self, reduce, values, sample_weight, mask, reduction, dtype):
        """Reduces the values of a loss; `reduce` is Keras' own reduction.

        The result, times this replica's share and summed over replicas, is the global reduction.
        """
        local = reduce(values, sample_weight, mask, reduction, dtype)
        self._scalar = len(values.shape) == 0
        if self._scalar or self._gathered:
            return local
        if reduction in (None, "none", "sum"):
            return self.share.mean_of(local)
        local = tf.reduce_sum(local)  # Keras does not reduce an empty tensor
        weighted = reduction == "mean_with_sample_weight" and sample_weight is not None
        if mask is None and not weighted:
            return local
        weights = ops.convert_to_tensor(sample_weight, dtype=dtype) if weighted else None
        kept = keras_loss.apply_mask(weights, mask, dtype or local.dtype, "sum")
        count = tf.reduce_sum(ops.cast(kept, local.dtype))
        fraction = tf.math.divide_no_nan(count, self.share.total(count))
        return self.share.mean_of(local * fraction)

    def _of_all_replicas(self, y_true, y_pred, sample_weight):
        """The loss of the outputs of all replicas; its gradient is with respect to this one's."""
        self._gathered = True
        whole = self.compute(
            keras.tree.map_structure(self.share.gather, y_true),
            keras.tree.map_structure(self.share.gather, y_pred),
            None if sample_weight is None else self.share.gather(sample_weight),
        )
        value = tf.stop_gradient(whole)
        return value + self.share.mean_of(whole - value)
