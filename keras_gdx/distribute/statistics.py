"""Statistics that every replica gathers by itself, such as those of batch normalization.

Each replica moves its own copies by the batches that it sees. They are moving averages,
so the mean of the copies is what one set of copies would be that had seen the mean of
all batches, whenever it is taken: before the model is evaluated, saved or compared.
"""

import keras
import tensorflow as tf


def statistics_of(model):
    """The variables of floating-point numbers that training changes without gradients."""
    return [v for v in model.non_trainable_variables if keras.backend.is_float_dtype(v.dtype)]


class Statistics:
    """The statistics of one model, and whether its replicas have moved apart.

    Args:
        model: A built model.
    """

    def __init__(self, model):
        self.model = model
        self.apart = False
        self._meet = None

    def meet(self):
        """Gives all replicas the mean of what they have gathered."""
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
    """Runs `step`; if this replica has no example, its statistics stay as they are."""
    variables = statistics_of(model)
    before = [tf.identity(v.value) for v in variables]
    found = step()
    for variable, old in zip(variables, before, strict=True):
        variable.assign(tf.where(size > 0, variable.value, old))
    return found
