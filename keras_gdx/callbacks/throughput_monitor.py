"""Training speed and peak memory, in the logs of every epoch."""

import sys
import time

from keras_gdx.arguments import PositiveInt
from keras_gdx.callbacks.base import Callback, Logs
from keras_gdx.registry import register

__all__ = ["ThroughputMonitor"]


@register
class ThroughputMonitor(Callback):
    """Logs speed and peak memory at the end of every epoch.

    - `step_milliseconds`: mean time per batch in the epoch, without validation. The first epoch
      includes compilation.
    - `examples_per_second`: computed from `batch_size`.
    - `peak_memory_mib`: peak host memory of the process so far (not available on Windows).

    During the epoch it only counts batches.

    Args:
        batch_size: Integer >= 1: examples per batch, over all replicas. `None`:
            `examples_per_second` is not logged.

    Raises:
        ValueError: If `batch_size` is not an integer >= 1.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import ThroughputMonitor
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> x, callback = np.ones((32, 1)), ThroughputMonitor(batch_size=8)
        >>> history = model.fit(x, x, batch_size=8, verbose=0, callbacks=[callback]).history
        >>> history["examples_per_second"][0] > 1
        True

    Source: by definition

    Verified against: the clock
    """

    resumes_exactly = False

    def __init__(self, batch_size: PositiveInt | None = None):
        super().__init__()
        self.batch_size = batch_size
        self._clock = time.perf_counter

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Starts the clock."""
        super().on_epoch_begin(epoch, logs)
        self._begin, self._steps = self._clock(), 0
        self._end: float | None = None

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Counts batches: an epoch may end early, or have an unknown length."""
        self._steps = batch + 1

    def on_test_begin(self, logs: Logs = None) -> None:
        """Stops the clock before validation."""
        self._end = self._clock()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Writes the measurements to the logs."""
        taken = (self._end or self._clock()) - self._begin
        if logs is None:
            return
        if self._steps:
            logs["step_milliseconds"] = 1000 * taken / self._steps
            if self.batch_size:
                logs["examples_per_second"] = self._steps * self.batch_size / taken
        if (peak := peak_memory()) is not None:
            logs["peak_memory_mib"] = peak / 2**20


def peak_memory() -> int | None:
    """Peak resident memory of this process in bytes; `None` if the system does not report it."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
