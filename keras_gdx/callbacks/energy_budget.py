"""Ends training before an energy limit."""

from keras_gdx.callbacks._lib.energy import kilowatt_hours
from keras_gdx.callbacks.base import Counting
from keras_gdx.callbacks.energy_monitor import EnergyMonitor
from keras_gdx.config import check_integer
from keras_gdx.integration.model_hooks import peers_of
from keras_gdx.registry import register

__all__ = ["EnergyBudget"]


@register
class EnergyBudget(Counting, EnergyMonitor):
    """Ends training before an energy budget is used up.

    It measures and logs like `EnergyMonitor`, every `every` batches, and stops when the remaining
    budget is less than the last interval used. The epoch still ends as usual. A resumed run
    continues counting.

    Args:
        budget: Number of kilowatt-hours > 0, or a text such as `"0.5 kWh"`, `"200 Wh"`, `"90 kJ"`.
        every: Integer >= 1: batches between two readings.
        watts_per_core: See `EnergyMonitor`.
        grid: See `EnergyMonitor`.
        backend: See `EnergyMonitor`.

    Raises:
        ValueError: If an argument is out of range.
        ImportError: If codecarbon is asked for and not installed.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import EnergyBudget
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> x, watch = np.ones((64, 1)), EnergyBudget("20 J", every=5)
        >>> history = model.fit(x, x, epochs=10**6, verbose=0, callbacks=[watch])
        >>> len(history.history["loss"]) < 10**6
        True

    Source: by definition

    Verified against: counters with known contents
    """

    def __init__(self, budget, every=10, watts_per_core=10.0, grid=None, backend="counters"):
        super().__init__(watts_per_core, grid, backend)
        self._limit = kilowatt_hours("budget", budget)
        check_integer("every", every, 1)
        self.budget = budget
        self.every = every

    def on_train_begin(self, logs=None):
        """Starts measuring."""
        super().on_train_begin(logs)
        self._next = 0.0  # expected energy of another interval
        self._is_over = peers_of(self.model).poll(self._ends)

    def on_train_batch_end(self, batch, logs=None):
        """Measures every `every` batches; stops if another interval would exceed the budget."""
        if self.count(batch):
            before = self.kilowatt_hours
            self.read()
            self._next = self.kilowatt_hours - before
        if self._is_over():
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        """Logs the energy so far, including validation."""
        super().on_epoch_end(epoch, logs)
        if self._is_over():
            self.model.stop_training = True

    def _ends(self):
        return self.kilowatt_hours + self._next > self._limit
