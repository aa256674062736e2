"""Statistics that every replica collects separately, such as those of batch normalization.

Each replica updates its own copy from its own batches. Because the statistics are moving averages,
the mean of the copies equals the moving average of the replicas' mean statistics, whenever it is
computed: before the model is evaluated, saved or compared.
"""

import keras
import tensorflow as tf


def statistics_of(model):
    """The floating-point variables that training changes without gradients."""
    return [v for v in model.non_trainable_variables if keras.backend.is_float_dtype(v.dtype)]


class Statistics:
    """The statistics of one model, and whether they may differ between replicas.

    Args:
        model: A built Keras model.
    """

    def __init__(self, model):
        self.model = model
        self.apart = False
        self._meet = None

    def meet(self):
        """Sets the statistics of all replicas to their mean."""
        if not self.apart:
            return
        self.apart = False
        variables = statistics_of(self.model)
        if not variables:
            return
        if self._meet is None:
            strategy = self.model.distribute_strategy

            def in_replica():
                context = tf.distribute.get_replica_context()
                values = [tf.identity(v.value) for v in variables]
                means = context.all_reduce(tf.distribute.ReduceOp.MEAN, values)
                for variable, value in zip(variables, means, strict=True):
                    variable.assign(value)

            self._meet = tf.function(lambda: strategy.run(in_replica), autograph=False)
        self._meet()


def unless_empty(model, size, step):
    """Runs `step`; if this replica has no examples, its statistics stay unchanged."""
    variables = statistics_of(model)
    before = [tf.identity(v.value) for v in variables]
    found = step()
    for variable, old in zip(variables, before, strict=True):
        variable.assign(tf.where(size > 0, variable.value, old))
    return found
