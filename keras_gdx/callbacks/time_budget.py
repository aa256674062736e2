"""Ends training before a time limit."""

import time
from typing import NamedTuple

from keras_gdx.callbacks._lib.argument_types import Verbosity
from keras_gdx.callbacks._lib.duration import Duration
from keras_gdx.callbacks._lib.say import say
from keras_gdx.callbacks.base import Callback, Logs
from keras_gdx.integration.model_attributes import peers_of
from keras_gdx.registry import register

__all__ = ["TimeBudget"]


class Spent(NamedTuple):
    """The state of a `TimeBudget`: seconds of training so far, over all parts of the run."""

    seconds: float = 0.0


@register
class TimeBudget(Callback):
    """Ends training before a time budget is used up.

    It stops when the remaining time is too short for another batch. The epoch still ends as
    usual, with validation, saving and other callbacks; use `reserve` to leave time for them.
    Time counts from the start of `fit`, including compilation. A resumed run continues with the
    time that its earlier parts left. Several workers stop together, one batch after the first
    of them runs out of time.

    Args:
        budget: Number of seconds > 0, or a text such as `"2h30m"`, `"90s"` or `"1.5 hours"`.
        reserve: Part of `budget` kept for the end of the epoch, in the same form; `None`: none.
        verbose: 1 to print when it stops, 0 to print nothing.

    Raises:
        ValueError: If an argument is not a duration, or `budget` is not longer than `reserve`.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import TimeBudget
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> x, callback = np.ones((4, 1)), TimeBudget("2s")
        >>> history = model.fit(x, x, epochs=10**6, verbose=0, callbacks=[callback])
        >>> len(history.history["loss"]) < 10**6
        True

    Source: by definition

    Verified against: the clock
    """

    fresh = Spent()
    resumes_exactly = False

    def __init__(self, budget: Duration, reserve: Duration | None = None, verbose: Verbosity = 0):
        super().__init__()
        self.budget = budget
        self.reserve = reserve
        self.verbose = verbose
        self._check(self._limit > 0, "reserve", reserve, f"less than `budget`, {budget!r}")
        self._clock = time.monotonic

    @property
    def _limit(self) -> float:
        return float(self.parsed("budget") - (self.parsed("reserve") or 0.0))

    def on_train_begin(self, logs: Logs = None) -> None:
        """Starts the clock, at the time that earlier parts of the run used."""
        super().on_train_begin(logs)
        self._begin = self._clock() - self.memory.seconds
        self._shortest = float("inf")  # not the mean: the first batch includes compilation
        self._is_over = peers_of(self.model).poll(self._ends)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Stops if another batch, as short as the shortest, would take too long."""
        spent = self._clock() - self._begin
        self._shortest = min(self._shortest, spent - self.memory.seconds)
        self.memory = Spent(spent)
        if self._is_over() and not self.model.stop_training:
            self.model.stop_training = True
            if self.verbose:
                say(f"TimeBudget: stopping after {spent:.0f} s of {self.budget!r}.")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Adds the time of validation."""
        self.memory = Spent(self._clock() - self._begin)
        if self._is_over():
            self.model.stop_training = True

    def _ends(self) -> bool:
        return bool(self.memory.seconds + self._shortest > self._limit)
