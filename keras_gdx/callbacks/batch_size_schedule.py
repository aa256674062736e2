"""Larger effective batches during training, by gradient accumulation."""

from keras_gdx.callbacks._lib.stages import by_epoch
from keras_gdx.callbacks.base import Callback
from keras_gdx.config import check, check_integer
from keras_gdx.integration.model_optimizers import optimizers_of, ours
from keras_gdx.registry import register

__all__ = ["BatchSizeSchedule"]


@register
class BatchSizeSchedule(Callback):
    """Changes the number of batches per update at given epochs.

    The data's batches stay unchanged; the optimizer accumulates the gradients of `n` of them per
    update, so the effective batch size is `n` times larger. Growing batches have a similar effect
    to a falling learning rate: the noise of an update is proportional to `rate / size`. Schedules
    that take their length from `fit` use the resulting number of updates. The logs have the
    number as `batches_per_update`.

    Args:
        milestones: Dictionary from epochs, counted from 0, to the batches per update from that
            epoch on: `{0: 1, 10: 2, 20: 4}`. Before the first, the optimizer's own number.

    Raises:
        ValueError: If `milestones` has another form; when training begins, if the optimizer
            is not one of this package with `gradient_accumulation_steps` set.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import BatchSizeSchedule
        >>> from keras_gdx.optimizers import SGD
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile(SGD(0.1, gradient_accumulation_steps=1), "mse")
        >>> x, grow = np.ones((8, 1)), BatchSizeSchedule({1: 2, 2: 4})
        >>> history = model.fit(x, x, batch_size=2, epochs=3, verbose=0, callbacks=[grow])
        >>> history.history["batches_per_update"], int(model.optimizer.iterations.numpy())
        ([1, 2, 4], 7)

    Source: 1711.00489

    Verified against: `fit` with batches of that size
    """

    def __init__(self, milestones):
        super().__init__()
        allowed = "a dictionary from epochs to numbers of batches"
        self.milestones = by_epoch("milestones", milestones, allowed)
        for count in self.milestones.values():
            check_integer("milestones", count, 1)

    def window_at(self, epoch, window):
        """The batches per update in an epoch; `window` before the first milestone."""
        passed = [each for each in self.milestones if each <= epoch]
        return self.milestones[max(passed)] if passed else window

    def on_train_begin(self, logs=None):
        """Checks that the optimizer can change its accumulation window."""
        super().on_train_begin(logs)
        self._optimizers = [x for x in ours(self.model) if x.gradient_accumulation_steps]
        check(
            self._optimizers,
            "optimizer",
            ", ".join(x.name for x in optimizers_of(self.model).values()),
            "one of keras_gdx, made with `gradient_accumulation_steps`, such as 1",
        )

    def on_epoch_begin(self, epoch, logs=None):
        """Sets the batches per update; the end of the last epoch closed its window."""
        super().on_epoch_begin(epoch, logs)
        for optimizer in self._optimizers:
            count = self.window_at(epoch, optimizer.gradient_accumulation_steps)
            optimizer.gradient_accumulation_steps = count

    def on_epoch_end(self, epoch, logs=None):
        """Writes the batches per update to the logs."""
        if logs is not None:
            logs["batches_per_update"] = self._optimizers[0].gradient_accumulation_steps
