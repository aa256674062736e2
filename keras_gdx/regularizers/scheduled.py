"""Regularizers with a scheduled strength."""

import keras
from keras import ops

from keras_gdx.arguments import LearningRateSchedule
from keras_gdx.config import Configured
from keras_gdx.registry import register

__all__ = ["Scheduled"]


@register
class Scheduled(Configured, keras.regularizers.Regularizer):
    r"""A regularizer whose strength follows a schedule of the update index.

    $$R_t(W) = s_t \, R(W)$$

    The update index $t$ is that of the model's optimizer, which `compile`, `fit` and `apply`
    set, also for a model that is not built. In a custom loop call `follow(optimizer)`; until then
    $t$ is 0. An instance follows one optimizer, the last one set. It does not work on JAX, where
    a loss cannot read the optimizer's variables.

    Args:
        regularizer: Any Keras regularizer, $R$.
        schedule: Schedule, $s$.

    Raises:
        ValueError: If an argument has another type, or the backend is JAX.

    Example:
        >>> from keras_gdx.regularizers import L2, Scheduled
        >>> from keras_gdx.schedules import Linear
        >>> regularizer = Scheduled(L2(0.5), Linear(1.0, decay_steps=100))
        >>> print(float(regularizer([2.0])))
        2.0

    Source: arXiv:1511.06349, Bowman 2015, who anneal a penalty

    Verified against: the regularizer times the schedule
    """

    def __init__(self, regularizer: keras.regularizers.Regularizer, schedule: LearningRateSchedule):
        if keras.backend.backend() == "jax":
            raise ValueError("Scheduled needs Keras' TensorFlow or PyTorch backend.")
        self.regularizer = regularizer
        self.schedule = schedule
        self._optimizer = None

    def follow(self, optimizer):
        """Uses this optimizer's update index from now on."""
        self._optimizer = optimizer
        if hasattr(self.regularizer, "follow"):
            self.regularizer.follow(optimizer)

    def __call__(self, w):
        t = 0 if self._optimizer is None else self._optimizer.iterations
        value = self.regularizer(w)
        return ops.cast(self.schedule(t), value.dtype) * value
