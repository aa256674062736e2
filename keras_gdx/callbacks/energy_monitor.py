"""Energy use of training."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

from keras_gdx.arguments import NonNegativeFloat, PositiveFloat
from keras_gdx.callbacks._lib import energy
from keras_gdx.callbacks._lib.energy import JOULES
from keras_gdx.callbacks.base import Callback, Logs
from keras_gdx.registry import register

__all__ = ["EnergyMonitor"]

SOURCES = ("processor", "accelerator", "memory")


class Used(NamedTuple):
    """The state of an `EnergyMonitor`, over all parts of the run.

    Attributes:
        processor: Joules used by processors.
        accelerator: Joules used by GPUs.
        memory: Joules used by RAM.
        measured: Sources that were measured at any time.
        estimated: Sources that were estimated at any time.
        epochs: Number of completed epochs.
        left: Number of remaining epochs at that time.
        step: Steps of the run so far; only `EnergyBudget` counts them.
        begin: Value of `step` when the current epoch began; `None` between epochs.
    """

    processor: float = 0.0
    accelerator: float = 0.0
    memory: float = 0.0
    measured: Sequence[str] = ()
    estimated: Sequence[str] = ()
    epochs: int = 0
    left: int = 0
    step: int = 0
    begin: int | None = None


@register
class EnergyMonitor(Callback):
    """Logs the energy used so far, and whether it is measured or estimated.

    `energy_kwh` is the sum over the available sources. `energy_forecast_kwh` is its expected value
    after the last epoch, from the mean of the epochs so far, including compilation in the first.
    `co2e_kg` is logged only if `grid` is given, because it depends on the local power grid.
    `report()` has every number with its source: measured, estimated or unavailable. A source
    that was estimated in any part of the run is reported as estimated.

    With `backend="counters"`:

    - `processor` is measured by the package energy counters if Linux lets this user read them
      (all processes of the machine, without memory and power supply losses). Otherwise it is
      estimated as CPU time of this process times `watts_per_core`.
    - `accelerator` is measured by NVIDIA's driver with the package `nvidia-ml-py` (all processes
      on the devices). Otherwise it is unavailable and not counted.
    - `memory` is unavailable.

    With `backend="codecarbon"` that package measures, by default for all processes, once per
    second in its own thread. `accelerator` is measured; `memory` and `processor` are reported as
    estimated (the package may use energy counters, but does not report it).

    Args:
        watts_per_core: Number > 0, watts per busy core, for the estimate.
        grid: Number >= 0, grams of CO2 equivalents per kilowatt-hour, or `None`.
        backend: `"counters"`, or `"codecarbon"` for the package of that name.

    Raises:
        ValueError: If an argument is out of range.
        ImportError: If codecarbon is asked for and not installed.
        RuntimeError: When training begins, if codecarbon measures nothing.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import EnergyMonitor
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> callback, x = EnergyMonitor(grid=400), np.ones((8, 1))
        >>> history = model.fit(x, x, verbose=0, callbacks=[callback]).history
        >>> history["energy_kwh"][0] > 0, callback.report()["processor"]["how"] in (
        ...     "measured", "estimated")
        (True, True)

    Source: by definition

    Verified against: counters with known contents
    """

    fresh = Used()
    resumes_exactly = False
    _gauge: Any = None

    def __init__(
        self,
        watts_per_core: PositiveFloat = 10.0,
        grid: NonNegativeFloat | None = None,
        backend: Literal["counters", "codecarbon"] = "counters",
    ):
        super().__init__()
        self.watts_per_core = watts_per_core
        self.grid = grid
        self.backend = backend
        if backend == "codecarbon":
            energy.codecarbon()

    @property
    def kilowatt_hours(self) -> float:
        """The energy used so far, in kilowatt-hours."""
        return float(sum(getattr(self.memory, source) for source in SOURCES) / JOULES)

    def state(self) -> dict[str, Any]:
        """Returns the state as a dictionary, including the energy used up to now."""
        if self._gauge:
            self.read()
        return super().state()

    @contextmanager
    def around_fit(self, model: Any, callbacks: list[Any]) -> Iterator[list[Any]]:
        """Closes the meters at the end, also on errors."""
        try:
            yield callbacks
        finally:
            if self._gauge:
                self._gauge.close()
                self._gauge = None

    def on_train_begin(self, logs: Logs = None) -> None:
        """Reads the counters for the first time."""
        super().on_train_begin(logs)
        theirs = self.backend == "codecarbon"
        self._gauge = energy.CodeCarbon() if theirs else energy.Counters(self.watts_per_core)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Logs the energy used so far."""
        self.read()
        left = self.params.get("epochs", epoch + 1) - epoch - 1
        self.memory = self.memory._replace(epochs=self.memory.epochs + 1, left=left)
        if logs is not None:
            logs["energy_kwh"] = self.kilowatt_hours
            logs["energy_forecast_kwh"] = self._forecast()
            if self.grid is not None:
                logs["co2e_kg"] = self.kilowatt_hours * self.grid / 1000

    def read(self) -> None:
        """Adds the energy used since the last reading."""
        now = self.memory._asdict()
        for source, used in self._gauge.joules().items():
            now[source] += used
        for source, label in self._gauge.labels.items():
            now[label] = tuple(sorted({*now[label], source}))
        self.memory = Used(**now)

    def report(self) -> dict[str, dict[str, Any]]:
        """Returns each number with `how`: measured, estimated or unavailable.

        Returns:
            A dictionary of dictionaries: `kwh` and `how` for each source, for their `total`, and
            for the `forecast` at the end of the run; `kg` and `how` for `co2e`.
        """
        found: dict[str, dict[str, Any]] = {}
        for source in SOURCES:
            how = self._how(source)
            kwh = None if how == "unavailable" else getattr(self.memory, source) / JOULES
            found[source] = {"kwh": kwh, "how": how}
        known = [entry["how"] for entry in found.values() if entry["how"] != "unavailable"]
        how = max(known, key=("measured", "estimated").index, default="unavailable")
        total = self.kilowatt_hours if known else None
        found["total"] = {"kwh": total, "how": how}
        guess = self._forecast() if self.memory.epochs else None
        found["forecast"] = {"kwh": guess, "how": "unavailable" if guess is None else "estimated"}
        grams = None if self.grid is None or total is None else total * self.grid
        found["co2e"] = (
            {"kg": None, "how": "unavailable"}
            if grams is None
            else {"kg": grams / 1000, "how": "estimated"}
        )
        return found

    def findings(self) -> Sequence[dict[str, Any]]:
        """Returns one row per entry of the report."""
        return [{"what": what, **entry} for what, entry in self.report().items()]

    def _how(self, source: str) -> str:
        labels = ("estimated", "measured")
        return next((x for x in labels if source in getattr(self.memory, x)), "unavailable")

    def _forecast(self) -> float:
        return float(self.kilowatt_hours * (1 + self.memory.left / self.memory.epochs))
