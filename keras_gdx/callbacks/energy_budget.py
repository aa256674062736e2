"""Ends training before an energy limit."""

from typing import Any, Literal

from keras_gdx.arguments import NonNegativeFloat, PositiveFloat
from keras_gdx.callbacks._lib.amount import Every
from keras_gdx.callbacks._lib.energy import Energy
from keras_gdx.callbacks.base import AtBatches, Logs
from keras_gdx.callbacks.energy_monitor import EnergyMonitor
from keras_gdx.integration.model_attributes import peers_of
from keras_gdx.registry import register

__all__ = ["EnergyBudget"]


@register
class EnergyBudget(AtBatches, EnergyMonitor):
    """Ends training before an energy budget is used up.

    It measures and logs like `EnergyMonitor`, also whenever `every` is over, and stops when the
    remaining budget is less than the last interval used. The epoch still ends as usual. A resumed
    run continues counting.

    Args:
        budget: Number of kilowatt-hours > 0, or a text such as `"0.5 kWh"`, `"200 Wh"`, `"90 kJ"`.
        every: Steps (batches) between two readings, or an amount such as `"1 epoch"` or
            `"10 seconds"`.
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
        >>> x, callback = np.ones((64, 1)), EnergyBudget("20 J", every="5 steps")
        >>> history = model.fit(x, x, epochs=10**6, verbose=0, callbacks=[callback])
        >>> len(history.history["loss"]) < 10**6
        True

    Source: by definition

    Verified against: counters with known contents
    """

    fresh = EnergyMonitor.fresh

    def __init__(
        self,
        budget: Energy,
        every: Every = 10,
        watts_per_core: PositiveFloat = 10.0,
        grid: NonNegativeFloat | None = None,
        backend: Literal["counters", "codecarbon"] = "counters",
    ):
        super().__init__(watts_per_core, grid, backend)
        self.budget = budget
        self.every = every

    def on_train_begin(self, logs: Logs = None) -> None:
        """Starts measuring."""
        super().on_train_begin(logs)
        self._before: Any = None  # the energy used when the interval began
        self._next = 0.0  # expected energy of another interval
        self._is_over = peers_of(self.model).poll(self._ends)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Begins the first interval, when a restored state is there."""
        super().on_epoch_begin(epoch, logs)
        if self._before is None:
            self._before = self.kilowatt_hours

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Measures if `every` is over; stops if another interval would exceed the budget."""
        if self.count(batch):
            self.read()
            self._next = self.kilowatt_hours - self._before
            self._before = self.kilowatt_hours
        if self._is_over():
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Logs the energy so far, including validation."""
        super().on_epoch_end(epoch, logs)
        if self._is_over():
            self.model.stop_training = True

    def _ends(self) -> bool:
        return bool(self.kilowatt_hours + self._next > self.parsed("budget"))
