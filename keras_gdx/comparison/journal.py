"""A comparison on disk: its settings, its runs, and who is working on which.

A run is one file that never changes, and the settings say everything that a run needs. So any
number of processes, on any machine that sees the folder, can work on one comparison, and be killed
at any moment.
"""

import json
import os
import uuid
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from filelock import SoftFileLease, Timeout

from keras_gdx.comparison.encoding import encode
from keras_gdx.comparison.plan import Task, key
from keras_gdx.comparison.run import Run
from keras_gdx.comparison.settings import Settings

SETTINGS, ARRAYS = "settings.json", "arrays.npz"
LEASE = 30.0  # seconds after which a lease that is not renewed may be taken over


def read_settings(folder: str | PathLike[str]) -> Settings:
    """The settings of a comparison that has begun.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If its functions or other parts cannot be found by this process.
    """
    path = Path(folder)
    encoded = json.loads((path / SETTINGS).read_text(encoding="utf-8"))
    with np.load(path / ARRAYS, allow_pickle=False) as arrays:
        return Settings.decoded(encoded, arrays)


class Journal:
    """The runs of a comparison, in a folder that several processes may share.

    Args:
        folder: The folder; it is created if missing.
        settings: The settings of the comparison.

    Raises:
        ValueError: If the folder has a comparison with other settings.
        OSError: If nothing can be written there.
    """

    def __init__(self, folder: str | PathLike[str], settings: Settings):
        self.folder = Path(folder)
        self.settings = settings
        self._runs: dict[str, Run] = {}
        self._locks: dict[str, SoftFileLease] = {}  # each has to see that its file stays the same
        self._held: set[str] = set()
        for part in ("runs", "leases"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        with self._lock("settings"):  # of two processes that begin at once, one writes them
            self._agree()

    def _agree(self) -> None:
        """Writes the settings, or checks that those which are there are the same."""
        arrays: dict[str, Any] = {}
        encoded = json.loads(json.dumps(self.settings.encoded(arrays)))
        path = self.folder / SETTINGS
        if not path.exists():
            _write(self.folder / ARRAYS, lambda file: np.savez(file, **arrays))
            _write(path, lambda file: file.write(json.dumps(encoded, indent=1).encode()))
            return
        known = json.loads(path.read_text(encoding="utf-8"))
        other = [name for name in encoded if encoded[name] != known.get(name)]
        if other:
            name, *_ = other
            raise ValueError(
                f"The comparison in {str(self.folder)!r} has another `{name}`: "
                f"{known.get(name)!r}. Received: {name}={encoded[name]!r}. Use another folder for "
                "`resume`, or remove this one."
            )

    # -- runs --------------------------------------------------------------------------------

    def runs(self) -> list[Run]:
        """All runs so far, in an order that does not depend on when they were made."""
        for path in (self.folder / "runs").glob("*.json"):
            if path.name not in self._runs:
                self._runs[path.name] = Run.decoded(json.loads(path.read_text(encoding="utf-8")))
        return [self._runs[name] for name in sorted(self._runs)]

    def write(self, run: Run) -> None:
        """Adds a run, and ends the lease on it. Of two processes, the first to write one wins."""
        path = self.folder / "runs" / f"{key(run)}.json"
        if not path.exists():
            written = json.dumps(encode(run, {}), indent=1).encode()
            _write(path, lambda file: file.write(written))
        self._release(key(run))

    # -- leases ------------------------------------------------------------------------------

    def lease(self, task: Task) -> bool:
        """Whether this process may begin a task: nobody works on it, or has done it.

        A lease ends with its process, at once on the same machine, after half a minute on others.
        """
        if task.key in self._held:
            return False
        try:
            self._lock(task.key).acquire(timeout=0)
        except Timeout:
            return False
        self._held.add(task.key)
        if (self.folder / "runs" / f"{task.key}.json").exists():
            self._release(task.key)
        return task.key in self._held

    def _release(self, name: str) -> None:
        self._held.remove(name)
        self._locks.pop(name).release()

    def _lock(self, name: str) -> SoftFileLease:
        if name not in self._locks:
            self._locks[name] = SoftFileLease(
                self.folder / "leases" / f"{name}.lock",
                thread_local=False,
                lease_duration=LEASE,
                heartbeat_interval=LEASE / 15,
            )
        return self._locks[name]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        for name in [*self._held]:
            self._release(name)


def _write(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Writes a file at once: it is complete, or not there."""
    unfinished = path.with_name(f".{uuid.uuid4().hex}")
    with unfinished.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
