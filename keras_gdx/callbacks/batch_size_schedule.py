"""Larger effective batches during training, by gradient accumulation."""

from typing import Annotated

from keras_gdx.arguments import PositiveInt, accepts, check
from keras_gdx.callbacks._lib.stages import stages_of
from keras_gdx.callbacks.base import Callback, Logs
from keras_gdx.integration.model_optimizers import optimizers_of, ours
from keras_gdx.registry import register

__all__ = ["BatchSizeSchedule"]

Milestones = Annotated[
    dict[int | str, int],
    stages_of(lambda count: accepts(PositiveInt, count), "numbers of batches >= 1", "epochs"),
]


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
            epoch on: `{0: 1, 10: 2, 20: 4}` or `{"10 epochs": 2}`. Before the first, the
            optimizer's own number.

    Raises:
        ValueError: If `milestones` has another form; when training begins, if the optimizer
            is not one of this package with `gradient_accumulation_steps` set.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import BatchSizeSchedule
        >>> from keras_gdx.optimizers import SGD
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile(SGD(0.1, gradient_accumulation_steps=1), "mse")
        >>> x, callback = np.ones((8, 1)), BatchSizeSchedule({1: 2, 2: 4})
        >>> history = model.fit(x, x, batch_size=2, epochs=3, verbose=0, callbacks=[callback])
        >>> history.history["batches_per_update"], int(model.optimizer.iterations.numpy())
        ([1, 2, 4], 7)

    Source: arXiv:1711.00489

    Verified against: `fit` with batches of that size
    """

    def __init__(self, milestones: Milestones):
        super().__init__()
        self.milestones = milestones

    def window_at(self, epoch: int, window: int) -> int:
        """The batches per update in an epoch; `window` before the first milestone."""
        milestones = {amount.number: count for amount, count in self.parsed("milestones").items()}
        passed = [each for each in milestones if each <= epoch]
        return int(milestones[max(passed)]) if passed else window

    def on_train_begin(self, logs: Logs = None) -> None:
        """Checks that the optimizer can change its accumulation window."""
        super().on_train_begin(logs)
        self._optimizers = [x for x in ours(self.model) if x.gradient_accumulation_steps]
        check(
            self._optimizers,
            "optimizer",
            ", ".join(x.name for x in optimizers_of(self.model).values()),
            "one of keras_gdx, made with `gradient_accumulation_steps`, such as 1",
        )

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Sets the batches per update; the end of the last epoch closed its window."""
        super().on_epoch_begin(epoch, logs)
        for optimizer in self._optimizers:
            count = self.window_at(epoch, optimizer.gradient_accumulation_steps)
            optimizer.gradient_accumulation_steps = count

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Writes the batches per update to the logs."""
        if logs is not None:
            logs["batches_per_update"] = self._optimizers[0].gradient_accumulation_steps
