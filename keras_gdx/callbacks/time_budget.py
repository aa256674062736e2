"""Training that ends in time."""

import time
from typing import NamedTuple

from keras_gdx.callbacks._lib.duration import seconds
from keras_gdx.callbacks._lib.say import say
from keras_gdx.callbacks.base import Callback
from keras_gdx.integration.model_hooks import peers_of
from keras_gdx.registry import register

__all__ = ["TimeBudget"]


class Spent(NamedTuple):
    """What the budget remembers: the seconds of training so far, of all parts of the run."""

    seconds: float = 0.0


@register
class TimeBudget(Callback):
    """Ends training before its time is up.

    It stops after the batch after which another one would not fit. The epoch is then
    closed as usual: validation, saving and other callbacks still run, for which `reserve`
    is kept. Time counts from the beginning of `fit`, compilation included, and through an
    interruption: a run that was restored has what the first part left. Several workers stop
    together, one batch after the first of them has no more time.

    Args:
        budget: How long: seconds, or a text such as `"2h30m"`, `"90s"` or `"1.5 hours"`.
        reserve: How much of it to keep for what follows the last batch; `None` is nothing.
        verbose: 1 to print when it stops, 0 not to.

    Raises:
        ValueError: If an argument is no length of time, or there is no more time than the
            reserve.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import TimeBudget
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> x = np.ones((4, 1))
        >>> history = model.fit(x, x, epochs=10**6, verbose=0, callbacks=[TimeBudget("2s")])
        >>> len(history.history["loss"]) < 10**6
        True

    Source: by definition

    Verified against: the clock
    """

    fresh = Spent()

    def __init__(self, budget, reserve=None, verbose=0):
        super().__init__()
        self._limit = seconds("budget", budget)
        if reserve is not None:
            self._limit -= seconds("reserve", reserve)
            if self._limit <= 0:
                raise ValueError(
                    f"Argument `reserve` must be less than `budget`, which is {budget!r}. "
                    f"Received: reserve={reserve!r}"
                )
        self.budget = budget
        self.reserve = reserve
        self.verbose = verbose
        self._clock = time.monotonic

    def on_train_begin(self, logs=None):
        """Goes on counting where the run before was interrupted."""
        super().on_train_begin(logs)
        self._begin = self._clock() - self.memory.seconds
        self._shortest = float("inf")  # the first batch contains compilation
        self._is_over = peers_of(self.model).poll(self._ends)

    def on_train_batch_end(self, batch, logs=None):
        """Stops if another batch, as short as the shortest, would take too long."""
        spent = self._clock() - self._begin
        self._shortest = min(self._shortest, spent - self.memory.seconds)
        self.memory = Spent(spent)
        if self._is_over() and not self.model.stop_training:
            self.model.stop_training = True
            if self.verbose:
                say(f"TimeBudget: stopping after {spent:.0f} s of {self.budget!r}.")

    def on_epoch_end(self, epoch, logs=None):
        """Counts what validation took."""
        self.memory = Spent(self._clock() - self._begin)
        if self._is_over():
            self.model.stop_training = True

    def _ends(self):
        return self.memory.seconds + self._shortest > self._limit
