"""Where the energy of this process can be read, and what it is guessed from elsewhere."""

import re
import time
from pathlib import Path

from keras_gdx.config import check, is_number

__all__ = []

JOULES = 3.6e6  # in a kilowatt-hour
UNITS = {"wh": 1e-3, "kwh": 1.0, "mwh": 1e3, "j": 1 / JOULES, "kj": 1e3 / JOULES}


def kilowatt_hours(name, value):
    """The kilowatt-hours that `"0.5 kWh"`, `"200 Wh"`, `"90 kJ"` or a number of them are.

    Raises:
        ValueError: If it is none of these, or not above 0.

    Example:
        >>> kilowatt_hours("budget", "200 Wh")
        0.2
    """
    allowed = "a number of kilowatt-hours > 0, or a text such as '0.5 kWh', '200 Wh' or '90 kJ'"
    if isinstance(value, str):
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)", value.strip().lower())
        check(found is not None and found[2] in UNITS, name, value, allowed)
        value = float(found[1]) * UNITS[found[2]] if found else None
    check(is_number(value) and value > 0, name, value, allowed)
    return float(value)


class Rapl:
    """Processor packages, by the counters of Linux; they wrap around."""

    label = "measured"

    def __init__(self, root="/sys/class/powercap"):
        self._counters: list[list] = []
        for folder in sorted(Path(root).glob("intel-rapl:*")):
            if re.fullmatch(r"intel-rapl:\d+", folder.name):
                limit = int((folder / "max_energy_range_uj").read_text())
                counter = folder / "energy_uj"
                self._counters.append([counter, limit, int(counter.read_text())])
        if not self._counters:
            raise OSError("there are no counters")

    def joules(self):
        """What was used since the last time."""
        used = 0
        for entry in self._counters:
            path, limit, before = entry
            entry[2] = int(path.read_text())
            used += (entry[2] - before) % (limit + 1)
        return used / 1e6


class Nvml:
    """NVIDIA's devices, by their driver's counters. Needs the package `nvidia-ml-py`."""

    label = "measured"

    def __init__(self):
        import pynvml

        self._driver = pynvml
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        self._devices = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(count)]
        if not self._devices:
            raise OSError("there are no devices")
        self._before = self._read()

    def _read(self):
        return [self._driver.nvmlDeviceGetTotalEnergyConsumption(d) for d in self._devices]

    def joules(self):
        """What was used since the last time, by all processes."""
        before, self._before = self._before, self._read()
        return sum(self._before) / 1e3 - sum(before) / 1e3


class CpuSeconds:
    """A guess from the processor time of this process."""

    label = "estimated"

    def __init__(self, watts):
        self._watts = watts
        self._before = time.process_time()

    def joules(self):
        """What was used since the last time."""
        before, self._before = self._before, time.process_time()
        return self._watts * (self._before - before)


def meters(watts_per_core):
    """What there is here: `processor` and `accelerator`, each a meter or `None`."""
    return {
        "processor": _try(Rapl) or CpuSeconds(watts_per_core),
        "accelerator": _try(Nvml),
    }


def _try(make):
    try:
        return make()
    except Exception:  # drivers have exceptions of their own
        return None
