"""Patches Keras' losses and seed generators to use the current replica's `BatchShare`.

Outside the steps of a prepared model their behavior is unchanged.
"""

import functools

import keras
import tensorflow as tf
from keras.src.losses import loss as keras_loss  # the functions that reduce and scale losses

from keras_gdx.distribute.batch_share import current
from keras_gdx.distribute.loss_call import LossCall


def install():
    """Installs the patches; does nothing if they are installed."""
    if hasattr(keras.losses.Loss.__call__, "__wrapped__"):
        return
    call, reduce = keras.losses.Loss.__call__, keras_loss.reduce_weighted_values
    draw = keras.random.SeedGenerator.next

    @functools.wraps(call)
    def called(self, y_true, y_pred, sample_weight=None):
        if (share := current()) is None:
            return call(self, y_true, y_pred, sample_weight)
        return LossCall(share, functools.partial(call, self))(y_true, y_pred, sample_weight)

    @functools.wraps(reduce)
    def reduced(values, sample_weight=None, mask=None, reduction="sum_over_batch_size", dtype=None):
        share = current()
        if share is None or share.loss_call is None:
            return reduce(values, sample_weight, mask, reduction, dtype)
        return share.loss_call.reduce(reduce, values, sample_weight, mask, reduction, dtype)

    @functools.wraps(draw)
    def drawn(self, ordered=True):
        seed = draw(self, ordered)
        return seed if (share := current()) is None else share.seed(seed)

    keras.losses.Loss.__call__ = called
    keras.random.SeedGenerator.next = drawn
    keras_loss.reduce_weighted_values = reduced
    for name in ("scale", "unscale"):
        original = getattr(keras_loss, f"{name}_loss_for_distribution")
        setattr(keras_loss, f"{name}_loss_for_distribution", _converted(name, original))


def weigh(model):
    """Makes the logged loss of each output a mean over the replicas' shares of the batch.

    Keras counts one per replica, however many examples that has.
    """
    for metric in getattr(model._compile_loss, "metrics", ()):
        if "update_state" not in vars(metric):
            vars(metric)["update_state"] = _weighted(metric.update_state)


def _weighted(update):
    @functools.wraps(update)
    def weighted(values, sample_weight=None):
        if (share := current()) is None:
            return update(values, sample_weight)
        values = tf.where(share.size > 0, values, tf.zeros_like(values))
        weight = share.value * share.replicas
        return update(values, weight if sample_weight is None else weight * sample_weight)

    return weighted


def _converted(name, original):
    @functools.wraps(original)
    def converted(value):
        return original(value) if (share := current()) is None else getattr(share, name)(value)

    return converted
