"""What training costs in energy."""

from typing import NamedTuple

from keras_gdx.callbacks.base import Callback
from keras_gdx.callbacks.energy import JOULES, meters
from keras_gdx.config import check_number
from keras_gdx.registry import register

__all__ = ["EnergyMonitor"]


class Used(NamedTuple):
    """What the monitor remembers: joules so far, of all parts of the run."""

    processor: float = 0.0
    accelerator: float = 0.0


@register
class EnergyMonitor(Callback):
    """Writes the energy used so far into the logs, and says how it knows.

    `energy_kwh` is the sum of what there is. `report()` has each source by itself:

    - `processor`: measured by the counters of its packages where Linux lets this user read
      them (all processes of the machine, without memory and power supply); otherwise estimated
      as processor time of this process times `watts_per_core`.
    - `accelerator`: measured by NVIDIA's driver with the package `nvidia-ml-py` (all processes
      on the devices); otherwise unavailable, and not counted.

    `co2e_kg` is there only if `grid` is given: nobody else knows where the power comes from.

    Args:
        watts_per_core: Number > 0, for the estimate: what a busy core draws.
        grid: Number >= 0, grams of CO2 equivalents for a kilowatt-hour, or `None`.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import EnergyMonitor
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> watch, x = EnergyMonitor(grid=400), np.ones((8, 1))
        >>> history = model.fit(x, x, verbose=0, callbacks=[watch]).history
        >>> history["energy_kwh"][0] > 0, watch.report()["processor"]["how"] in (
        ...     "measured", "estimated")
        (True, True)

    Source: by definition

    Verified against: counters with known contents
    """

    fresh = Used()

    def __init__(self, watts_per_core=10.0, grid=None):
        super().__init__()
        check_number("watts_per_core", watts_per_core, 0, open_low=True)
        if grid is not None:
            check_number("grid", grid, 0)
        self.watts_per_core = watts_per_core
        self.grid = grid
        self._meters: dict = {}

    @property
    def kilowatt_hours(self):
        """The energy so far."""
        return sum(self.memory) / JOULES

    def on_train_begin(self, logs=None):
        """Reads the counters for the first time."""
        super().on_train_begin(logs)
        self._meters = meters(self.watts_per_core)

    def on_epoch_end(self, epoch, logs=None):
        """Writes what was used so far."""
        self.read()
        if logs is not None:
            logs["energy_kwh"] = self.kilowatt_hours
            if self.grid is not None:
                logs["co2e_kg"] = self.kilowatt_hours * self.grid / 1000

    def read(self):
        """Adds what was used since the last time."""
        used = {name: meter.joules() for name, meter in self._meters.items() if meter}
        now = self.memory._asdict()
        self.memory = Used(**{name: now[name] + used.get(name, 0.0) for name in now})

    def report(self):
        """The energy of each source, and how it is known: measured, estimated or unavailable."""
        return {
            name: {
                "kwh": joules / JOULES if self._meters.get(name) or joules else None,
                "how": getattr(self._meters.get(name), "label", "unavailable"),
            }
            for name, joules in self.memory._asdict().items()
        }
