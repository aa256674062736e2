"""Progress bars with the remaining time."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import keras

from keras_gdx.callbacks._lib.argument_types import Names
from keras_gdx.callbacks._lib.progress import Lines, Place, Quiet, place
from keras_gdx.callbacks.base import Callback, Logs, batches_until, if_needed
from keras_gdx.registry import register
from keras_gdx.report.clock import clock
from keras_gdx.report.findings import logged

__all__ = ["RichProgress"]

REFRESH = 0.1  # seconds between two looks at the logs of batches


class Elapsed(NamedTuple):
    """The state of a `RichProgress`: seconds and epochs over all parts of the run."""

    seconds: float = 0.0
    epochs: int = 0


@register
class RichProgress(Callback):
    """Shows progress and remaining time, in terminals, notebooks and files.

    It takes the place of Keras' own progress bar, whatever `verbose` is. At the end of every epoch
    it adds a line. On a terminal there are two bars below: one for the current epoch and one for
    the run; in a notebook there is one, which needs no widgets. Otherwise (files, pipes, batch
    jobs) there are only the lines, without control characters. Times include earlier parts of a
    resumed run.

    Args:
        names: List of the logs to show, in this order; `None` shows all.

    Raises:
        ValueError: If `names` is not a list of strings.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import RichProgress
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> x, callback = np.zeros((8, 1)), RichProgress()
        >>> history = model.fit(x, x, epochs=2, callbacks=[callback])
        ... # doctest: +ELLIPSIS
        epoch 1/2  loss 0  0:0... left
        epoch 2/2  loss 0  done in 0:0...

    Source: by definition

    Verified against: the lines of a run with a clock by hand
    """

    fresh = Elapsed()
    last = True
    resumes_exactly = False
    _clock = staticmethod(time.monotonic)
    _place: Place = Lines()

    def __init__(self, names: Names | None = None):
        super().__init__()
        self.names = names

    @property
    def needs_batches(self) -> bool:
        return place().live

    @contextmanager
    def around_fit(self, model: Any, callbacks: list[Any]) -> Iterator[list[Any]]:
        """Silences Keras' bar; closes ours at the end, also on errors."""
        others = [x for x in callbacks if not isinstance(x, keras.callbacks.ProgbarLogger)]
        try:
            yield [*others, Quiet()]
        finally:
            self._place.close()
            self._place = Lines()

    def on_train_begin(self, logs: Logs = None) -> None:
        """Opens the bars, if there is a place for them."""
        super().on_train_begin(logs)
        self._steps = self.params.get("steps")
        self._place = place()(self.params.get("epochs"))

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Starts the clock."""
        super().on_epoch_begin(epoch, logs)
        self._began = self._shown = self._clock()
        self._epoch, self._batches = epoch, 0
        self._place.move(epoch, 0, self._steps, "")

    @if_needed
    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Advances the bars."""
        self._batches = batches_until(batch, self.params)
        now = self._clock()
        if now - self._shown >= REFRESH or self._batches == self._steps:
            self._shown = now
            self._place.move(self._epoch, self._batches, self._steps, self._words(logs or {}))

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Prints the epoch's line."""
        seconds, epochs = self.memory
        self.memory = Elapsed(seconds + self._clock() - self._began, epochs + 1)
        self._steps = self._steps or self._batches or None
        shown = [self._words(logs or {})]
        if total := self.params.get("epochs"):
            shown = [f"epoch {epoch + 1}/{total}", *shown, self._time(total - epoch - 1)]
        else:
            shown = [f"epoch {epoch + 1}", *shown]
        self._place.tell("  ".join(filter(None, shown)))

    def on_train_end(self, logs: Logs = None) -> None:
        """Closes the bars."""
        self._place.close()
        self._place = Lines()

    def _words(self, logs: Mapping[str, Any]) -> str:
        numbers = logged(logs)
        names = logs if self.names is None else [name for name in self.names if name in logs]
        return "  ".join(
            f"{name} {numbers[name]:.4g}" if name in numbers else f"{name} {logs[name]}"
            for name in names
        )

    def _time(self, left: int) -> str:
        seconds, epochs = self.memory
        return f"{clock(left * seconds / epochs)} left" if left else f"done in {clock(seconds)}"
