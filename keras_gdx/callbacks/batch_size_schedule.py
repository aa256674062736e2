"""Larger batches as training goes on, without more memory."""

from keras_gdx.callbacks._lib.stages import by_epoch
from keras_gdx.callbacks.base import Callback
from keras_gdx.config import check, check_integer
from keras_gdx.integration.model_optimizers import optimizers_of, ours
from keras_gdx.registry import register

__all__ = ["BatchSizeSchedule"]


@register
class BatchSizeSchedule(Callback):
    """Lets every update average over more batches from certain epochs on.

    The batches of the data stay as they are; the optimizer sums the gradients of `n` of them
    for one update, so that the effective size is `n` times as large. Growing batches do
    what falling rates do: the noise of an update goes with `rate / size`. Schedules that take
    their length from `fit` count the updates that there will be. The number is in the
    logs as `batches_per_update`.

    Args:
        milestones: Dictionary from epochs, counted from 0, to the batches per update from
            there on: `{0: 1, 10: 2, 20: 4}`. Before the first, the optimizer's own count.

    Raises:
        ValueError: If `milestones` is something else; when training begins, if the optimizer
            is not one of this package made with `gradient_accumulation_steps`.

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
        """The batches per update in an epoch, if before there were `window`."""
        passed = [each for each in self.milestones if each <= epoch]
        return self.milestones[max(passed)] if passed else window

    def on_train_begin(self, logs=None):
        """Makes sure that the count can be changed."""
        super().on_train_begin(logs)
        self._optimizers = [x for x in ours(self.model) if x.gradient_accumulation_steps]
        check(
            self._optimizers,
            "optimizer",
            ", ".join(x.name for x in optimizers_of(self.model).values()),
            "one of keras_gdx, made with `gradient_accumulation_steps`, such as 1",
        )

    def on_epoch_begin(self, epoch, logs=None):
        """Sets the count; the window of the epoch before is closed."""
        super().on_epoch_begin(epoch, logs)
        for optimizer in self._optimizers:
            count = self.window_at(epoch, optimizer.gradient_accumulation_steps)
            optimizer.gradient_accumulation_steps = count

    def on_epoch_end(self, epoch, logs=None):
        """Writes the count."""
        if logs is not None:
            logs["batches_per_update"] = self._optimizers[0].gradient_accumulation_steps
