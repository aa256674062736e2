"""Training speed and peak memory, in the logs of every epoch."""

import sys
import time

from keras_gdx.callbacks.base import Callback
from keras_gdx.config import check_integer
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
        >>> x, watch = np.ones((32, 1)), [ThroughputMonitor(batch_size=8)]
        >>> history = model.fit(x, x, batch_size=8, verbose=0, callbacks=watch).history
        >>> history["examples_per_second"][0] > 1
        True

    Source: by definition

    Verified against: the clock
    """

    def __init__(self, batch_size=None):
        super().__init__()
        if batch_size is not None:
            check_integer("batch_size", batch_size, 1)
        self.batch_size = batch_size
        self._clock = time.perf_counter

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the clock."""
        super().on_epoch_begin(epoch, logs)
        self._begin, self._end, self._steps = self._clock(), None, 0

    def on_train_batch_end(self, batch, logs=None):
        """Counts batches: an epoch may end early, or have an unknown length."""
        self._steps = batch + 1

    def on_test_begin(self, logs=None):
        """Stops the clock before validation."""
        self._end = self._clock()

    def on_epoch_end(self, epoch, logs=None):
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


def peak_memory():
    """Peak resident memory of this process in bytes; `None` if the system does not report it."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
