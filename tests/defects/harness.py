"""Given gradients, and assertions that Keras still has a defect."""

import keras
import numpy as np
import pytest
import tensorflow as tf


def keras_shows(wrong, right, measure, *args):
    """Asserts that Keras still has a defect; skips, and says so, where it is fixed.

    Args:
        wrong: What Keras gives: a value, or the type of the exception that it raises.
        right: What it should give.
        measure: Function, called with `args`.
    """
    try:
        found = measure(*args)
    except Exception as error:
        if isinstance(wrong, type) and isinstance(error, wrong):
            return
        raise
    if same(found, right):
        pytest.skip(f"Keras {keras.__version__} has fixed this")
    assert same(found, wrong), f"was {wrong} and should be {right}, but is now {found}"


def same(a, b):
    """Whether two measurements agree to float32 precision; an infinity equals itself."""
    if isinstance(a, type) or isinstance(b, type):
        return a is b
    if isinstance(a, (set, str, type(None))) or isinstance(b, (set, str, type(None))):
        return a == b
    return np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True)


class Steps:
    """One variable, updated by given gradients in a compiled step.

    Args:
        make: Function that returns the optimizer.
        start: Initial value of the variable.
        strategy: A `tf.distribute.Strategy`, or `None`.
        dtype: Dtype of the variable.
    """

    def __init__(self, make, start=(0.0, 0.0), strategy=None, dtype="float32"):
        self.strategy = strategy or tf.distribute.get_strategy()
        with self.strategy.scope():
            self.variable = keras.Variable(np.array(start, "float32"), dtype=dtype, name="w")
            self.optimizer = make()
            self.optimizer.build([self.variable])

        def replica(gradient):
            self.optimizer.apply([gradient], [self.variable])

        self.step = tf.function(
            lambda gradient: self.strategy.run(replica, args=(gradient,)), reduce_retracing=True
        )

    def take(self, *gradients):
        """Takes a step for each gradient; under a strategy each is a list with one per replica."""
        for gradient in gradients:
            if self.strategy.num_replicas_in_sync == 1:
                self.step(self._tensor(gradient))
            else:
                self.step(
                    self.strategy.experimental_distribute_values_from_function(
                        lambda context, parts=gradient: self._tensor(
                            parts[context.replica_id_in_sync_group]
                        )
                    )
                )
        return self

    def _tensor(self, gradient):
        sparse = isinstance(gradient, tf.IndexedSlices)
        return gradient if sparse else tf.constant(gradient, self.variable.dtype)

    @property
    def value(self):
        """The variable as a NumPy array."""
        return np.array(self.variable.numpy(), "float32")

    def moved(self, *gradients):
        """The change of the variable by these gradients."""
        before = self.value
        return self.take(*gradients).value - before


def linear_model(optimizer, **options):
    """One weight, initially 0, whose gradient is the mean of the inputs: the loss is `w x`."""
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((1,)), dense])
    model.compile(optimizer, loss=lambda y, prediction: prediction[:, 0], **options)
    return model


def column(*numbers):
    """Inputs for `linear_model`."""
    return np.array(numbers, "float32")[:, None]
