"""Energy meters: hardware counters, estimates and codecarbon."""

import math
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from keras_gdx.arguments import Form, is_number

__all__ = []

JOULES = 3.6e6  # in a kilowatt-hour
UNITS = {"wh": 1e-3, "kwh": 1.0, "mwh": 1e3, "j": 1 / JOULES, "kj": 1e3 / JOULES}


def kilowatt_hours(value: Any) -> float | None:
    """Converts an energy such as `"0.5 kWh"`, `"200 Wh"`, `"90 kJ"` or a number to kWh.

    Returns:
        A number > 0, or `None` if `value` is no energy.

    Example:
        >>> kilowatt_hours("200 Wh")
        0.2
    """
    if isinstance(value, str):
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)", value.strip().lower())
        value = float(found[1]) * UNITS[found[2]] if found and found[2] in UNITS else None
    return float(value) if is_number(value) and math.isfinite(value) and value > 0 else None


Energy = Annotated[
    float | str,
    Form(
        kilowatt_hours,
        "a number of kilowatt-hours > 0, or a text such as '0.5 kWh', '200 Wh' or '90 kJ'",
    ),
]


class Rapl:
    """Processor packages, by Linux' RAPL counters, which wrap around."""

    label = "measured"

    def __init__(self, root: str = "/sys/class/powercap"):
        self._counters: list[list[Any]] = []
        for folder in sorted(Path(root).glob("intel-rapl:*")):
            if re.fullmatch(r"intel-rapl:\d+", folder.name):
                limit = int((folder / "max_energy_range_uj").read_text())
                counter = folder / "energy_uj"
                self._counters.append([counter, limit, int(counter.read_text())])
        if not self._counters:
            raise OSError("there are no counters")

    def joules(self) -> float:
        """What was used since the last time."""
        used: float = 0
        for entry in self._counters:
            path, limit, before = entry
            entry[2] = int(path.read_text())
            used += (entry[2] - before) % (limit + 1)
        return used / 1e6


class Nvml:
    """NVIDIA GPUs, by the driver's counters; needs the package `nvidia-ml-py`."""

    label = "measured"

    def __init__(self) -> None:
        import pynvml

        self._driver = pynvml
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        self._devices = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(count)]
        if not self._devices:
            raise OSError("there are no devices")
        self._before = self._read()

    def _read(self) -> list[float]:
        return [self._driver.nvmlDeviceGetTotalEnergyConsumption(d) for d in self._devices]

    def joules(self) -> float:
        """The energy used by all processes since the last call."""
        before, self._before = self._before, self._read()
        return sum(self._before) / 1e3 - sum(before) / 1e3


class CpuSeconds:
    """An estimate from the CPU time of this process."""

    label = "estimated"

    def __init__(self, watts: float):
        self._watts = watts
        self._before = time.process_time()

    def joules(self) -> float:
        """What was used since the last time."""
        before, self._before = self._before, time.process_time()
        return self._watts * (self._before - before)


class Counters:
    """The meters available on this machine.

    Attributes:
        labels: `"measured"` or `"estimated"` for each source; missing ones are unavailable.
    """

    def __init__(self, watts_per_core: float):
        found: dict[str, Any] = {
            "processor": _try(Rapl) or CpuSeconds(watts_per_core),
            "accelerator": _try(Nvml),
        }
        self._meters = {name: meter for name, meter in found.items() if meter}
        self.labels = {name: meter.label for name, meter in self._meters.items()}

    def joules(self) -> dict[str, float]:
        """What each source has used since the last time."""
        return {name: meter.joules() for name, meter in self._meters.items()}

    def close(self) -> None:
        """Does nothing: there is nothing to close."""


class CodeCarbon:
    """The package `codecarbon`, offline; only its energies are used.

    Attributes:
        labels: See `Counters`. The processor may be measured, but codecarbon does not report
            that; memory is always estimated from its size.
    """

    _total: Any = None  # the last totals received

    def __init__(self) -> None:
        self._tracker = codecarbon().OfflineEmissionsTracker(
            country_iso_code="USA",  # required, for its emissions, which are not used
            save_to_file=False,
            log_level="error",
            output_handlers=[self],
        )
        self._tracker.start()
        self._before = self._read()
        self.labels = {
            "processor": "estimated",  # no public API says whether it is measured
            "memory": "estimated",
            **({"accelerator": "measured"} if self._total.gpu_count else {}),
        }

    def out(self, total: Any, delta: Any) -> None:
        """Receives codecarbon's totals."""
        self._total = total

    def live_out(self, total: Any, delta: Any) -> None:
        """Receives intermediate totals."""

    def task_out(self, data: Any, experiment_name: str) -> None:
        """Required by codecarbon; no tasks are used."""

    def exit(self) -> None:
        """Required by codecarbon; does nothing."""

    def _read(self) -> dict[str, float]:
        self._tracker.flush()
        if self._total is None:
            raise RuntimeError("codecarbon does not measure here; see what it logs.")
        found = self._total
        return {
            "processor": found.cpu_energy * JOULES,
            "accelerator": found.gpu_energy * JOULES,
            "memory": found.ram_energy * JOULES,
        }

    def joules(self) -> dict[str, float]:
        """What each source has used since the last time."""
        before, self._before = self._before, self._read()
        return {name: self._before[name] - before[name] for name in self.labels}

    def close(self) -> None:
        """Ends codecarbon's threads."""
        self._tracker.stop()


def codecarbon() -> Any:
    """Imports codecarbon.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        import codecarbon
    except ImportError as error:
        raise ImportError(
            "backend='codecarbon' needs the package codecarbon: pip install codecarbon"
        ) from error
    return codecarbon


def _try(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Exception:  # drivers raise their own exception types
        return None
