"""Keras' own optimizers on several replicas, in the order of an update that one device has.

Keras clips and accumulates on each replica, and reduces afterwards. Here the reduction comes first:
accumulate, reduce, clip, decay, update, average.
"""

from functools import partial

import keras
import tensorflow as tf

from keras_gdx.backends import backend
from keras_gdx.integration.model_optimizers import all_optimizers
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.loss_scale_optimizer import LossScaleOptimizer, check_finite

_interim = tf.__internal__.distribute.interim  # private: updates variables across replicas


def take_over(model):
    """Changes the order of work in a model's Keras optimizers.

    One method of each object is replaced. So it keeps its class, state and arguments, and is saved
    as before.
    """
    for optimizer in all_optimizers(model):
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            if not isinstance(optimizer, LossScaleOptimizer):
                optimizer.check_finite = partial(check_finite, optimizer)
        elif not isinstance(optimizer, Optimizer) and not hasattr(optimizer, "optimizers"):
            optimizer._backend_apply_gradients = partial(apply_gradients, optimizer)


def apply_gradients(optimizer, grads, trainable_variables):
    """Replaces the method of Keras that applies the gradients of one micro-batch."""
    variables = list(trainable_variables)
    touched = [*optimizer.variables, *variables]
    steps = optimizer.gradient_accumulation_steps
    if not steps:
        _update(optimizer, grads, variables)
    else:
        totals = optimizer._accumulated_gradients
        totals = [totals[optimizer._get_variable_index(v)] for v in variables]
        for total, gradient in zip(totals, grads, strict=True):
            total.assign(total + backend.dense(gradient))

        def close(_):
            means = [backend.snapshot(total) / steps for total in totals]
            for total in totals:
                total.assign(tf.zeros_like(total))
            _update(optimizer, means, variables)

        backend.run_if((optimizer._iterations + 1) % steps == 0, close, [], touched)
    if optimizer.use_ema:
        optimizer._update_model_variables_moving_average(optimizer._trainable_variables)
        if every := optimizer.ema_overwrite_frequency:
            due = (optimizer.iterations + 1) % every == 0
            backend.run_if(due, lambda _: _overwrite(optimizer), [], touched)


def _update(optimizer, gradients, variables):
    gradients = optimizer._clip_gradients(backend.reduce(gradients))
    optimizer._apply_weight_decay(variables)
    _interim.maybe_merge_call(
        optimizer._distributed_tf_update_step,
        optimizer._distribution_strategy,
        [(g, v.value) for g, v in zip(gradients, variables, strict=True)],
        optimizer.learning_rate,
    )


def _overwrite(optimizer):
    averages = optimizer._model_variables_moving_average
    for variable, average in zip(optimizer._trainable_variables, averages, strict=True):
        variable.assign(average)
