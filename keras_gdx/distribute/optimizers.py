"""Keras' own optimizers, changed to reduce gradients over replicas before anything else."""

from functools import cache
from typing import Any

import keras
import tensorflow as tf

from keras_gdx.backends import backend
from keras_gdx.integration.model_optimizers import all_optimizers
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.loss_scale_optimizer import LossScaleOptimizer

_interim = tf.__internal__.distribute.interim  # private: updates variables across replicas
WRAPPERS = (Optimizer, keras.optimizers.LossScaleOptimizer)


def take_over(model):
    """Converts a model's Keras optimizers in place; returns the names of their classes.

    They keep their state and arguments, and are saved under their original class.
    """
    if type(model.optimizer) is keras.optimizers.LossScaleOptimizer:
        model.optimizer.__class__ = LossScaleOptimizer
    converted = []
    for optimizer in all_optimizers(model):
        rule: Any = type(optimizer)
        container = hasattr(optimizer, "optimizers")
        if not isinstance(optimizer, WRAPPERS) and not container and not issubclass(rule, OneStep):
            optimizer.__class__ = one_step(rule)
            converted.append(rule.__name__)
    return converted


@cache
def one_step(rule):
    """A subclass of a Keras optimizer with `OneStep`'s order; saved under the original name."""
    return type(rule.__name__, (OneStep, rule), {"__module__": rule.__module__})


class OneStep(keras.optimizers.Optimizer):
    """Accumulates, reduces, clips, decays, updates and averages, in this order."""

    def _backend_apply_gradients(self, grads, trainable_variables):
        variables = list(trainable_variables)
        touched = [*self.variables, *variables]
        if not self.gradient_accumulation_steps:
            self._move(grads, variables)
        else:
            sums = [self._accumulated_gradients[self._get_variable_index(v)] for v in variables]
            for total, gradient in zip(sums, grads, strict=True):
                total.assign(total + backend.dense(gradient))
            full = (self._iterations + 1) % self.gradient_accumulation_steps == 0

            def close(_):
                means = [backend.snapshot(v) / self.gradient_accumulation_steps for v in sums]
                for total in sums:
                    total.assign(tf.zeros_like(total))
                self._move(means, variables)

            backend.run_if(full, close, [], touched)
        if self.use_ema:
            self._update_model_variables_moving_average(self._trainable_variables)
            if self.ema_overwrite_frequency:
                due = (self.iterations + 1) % self.ema_overwrite_frequency == 0
                backend.run_if(due, lambda _: self._overwrite(), [], touched)

    def _move(self, gradients, variables):
        gradients = self._clip_gradients(backend.reduce(gradients))
        self._apply_weight_decay(variables)
        pairs = [(g, v.value) for g, v in zip(gradients, variables, strict=True)]
        _interim.maybe_merge_call(
            self._distributed_tf_update_step,
            self._distribution_strategy,
            pairs,
            self.learning_rate,
        )

    def _overwrite(self):
        pairs = zip(self._trainable_variables, self._model_variables_moving_average, strict=True)
        for variable, average in pairs:
            variable.assign(average)
