"""A strength that changes."""

import keras
from keras import ops

from keras_gdx.config import Configured, check, is_schedule
from keras_gdx.registry import register

__all__ = ["Scheduled"]


@register
class Scheduled(Configured, keras.regularizers.Regularizer):
    r"""A regularizer whose strength follows a schedule of the update index.

    $$R_t(W) = s_t \, R(W)$$

    `compile`, `fit` and `apply` tell it whose updates to count: those of the model's optimizer.
    The model need not be built for it. In a loop of your own call `follow(optimizer)`; until
    then it stays at update 0. An instance follows one optimizer, the last. Not on JAX, where a
    loss cannot see the optimizer.

    Args:
        regularizer: Any Keras regularizer, $R$.
        schedule: Schedule, $s$.

    Raises:
        ValueError: If an argument is not what it must be, or Keras runs on JAX.

    Example:
        >>> from keras_gdx.regularizers import L2, Scheduled
        >>> from keras_gdx.schedules import Linear
        >>> regularizer = Scheduled(L2(0.5), Linear(1.0, decay_steps=100))
        >>> print(float(regularizer([2.0])))
        2.0

    Source: arXiv:1511.06349, Bowman 2015, who anneal a penalty so

    Verified against: the regularizer times the schedule
    """

    def __init__(self, regularizer, schedule):
        valid = isinstance(regularizer, keras.regularizers.Regularizer)
        check(valid, "regularizer", regularizer, "a Keras regularizer")
        check(is_schedule(schedule), "schedule", schedule, "a schedule")
        if keras.backend.backend() == "jax":
            raise ValueError("Scheduled needs Keras' TensorFlow or PyTorch backend.")
        self.regularizer = regularizer
        self.schedule = schedule
        self._optimizer = None

    def follow(self, optimizer):
        """Counts the updates of this optimizer from now on."""
        self._optimizer = optimizer
        if hasattr(self.regularizer, "follow"):
            self.regularizer.follow(optimizer)

    def __call__(self, w):
        t = 0 if self._optimizer is None else self._optimizer.iterations
        value = self.regularizer(w)
        return ops.cast(self.schedule(t), value.dtype) * value
