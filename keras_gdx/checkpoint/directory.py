"""A directory of checkpoints that stay complete if a crash happens at any moment.

A checkpoint is a folder with `arrays.npz`, and `manifest.json` with everything else and the
checksums of both. It is written under a temporary name, flushed to disk, and renamed. If several
processes train together, each writes a part, a folder like this inside the checkpoint. The first
process renames the checkpoint when all parts are there.
"""

import hashlib
import json
import os
import re
import shutil
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import IO, Any

import numpy as np

from keras_gdx.checkpoint.serialization import read_arrays, unpack
from keras_gdx.schema import check_form, count

Arrays = dict[str, Any]
Choice = Callable[[Iterator[int]], int | None]

FORMAT = 1
FORM = {"parts": count, "arrays": str, "content": dict}
ARRAYS, MANIFEST = "arrays.npz", "manifest.json"
NAME = re.compile(r"checkpoint-([0-9]{9,})")
UNFINISHED = ".unfinished-"
PATIENCE = 600.0  # seconds to wait for all parts of a checkpoint


class DamagedError(Exception):
    """A checkpoint is damaged; the message says how."""


class Directory:
    """The checkpoints of one run.

    Args:
        path: The directory; it is created if missing.
        keep: The number of checkpoints to keep.
        count: The number of processes that write together.
        index: The index of this process; process 0 assembles the checkpoints.
        run: A name shared by these processes, and unique to the run.
        check: Function that raises `ValueError` unless its argument is valid checkpoint content.

    Raises:
        OSError: If nothing can be written there.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        keep: int,
        count: int = 1,
        index: int = 0,
        run: str | None = None,
        check: Callable[[Any], None] | None = None,
    ):
        self.path = Path(path)
        self.keep = keep
        self.count = count
        self.index = index
        self.run = run or uuid.uuid4().hex
        self._check = check
        self._writes = 0  # equal on all processes
        self.writers = count
        self._known: dict[
            int, list[tuple[Path, dict[str, Any]]]
        ] = {}  # what `_needed` found, by step
        self._alone = threading.Event()

    def prepare(self) -> None:
        """Creates the directory, and tests writing to it."""
        probe = self.path / f".probe-{uuid.uuid4().hex}"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe.mkdir()
            (probe / MANIFEST).write_bytes(b"{}")
        except OSError as error:
            raise type(error)(
                error.errno, f"The directory of checkpoints cannot be written: {error.strerror}",
                str(self.path),
            ) from error  # fmt: skip
        finally:
            shutil.rmtree(probe, ignore_errors=True)

    def clear(self) -> None:
        """Removes unfinished checkpoints. No other program may be writing."""
        if self.index == 0:
            for left in self.path.glob(f"{UNFINISHED}*"):
                shutil.rmtree(left, ignore_errors=True)

    # -- writing ----------------------------------------------------------------------------

    def write(self, step: int, content: Any, arrays: Arrays) -> None:
        """Writes a checkpoint, or this process's part; older ones stay until it is complete.

        Args:
            step: Integer >= 0; the checkpoint with the greatest step is the newest.
            content: What `serialization.pack` returned.
            arrays: The arrays that `serialization.pack` set aside.

        Raises:
            OSError: If it cannot be written.
            TimeoutError: If another process does not write its part.
        """
        unfinished = self.path / f"{UNFINISHED}{self.run}-{self._writes}"
        self._writes += 1
        if self.index:
            self._write_part(unfinished, content, arrays)
            return
        replaced = self.path / f"{UNFINISHED}{uuid.uuid4().hex}"
        try:
            if self.count == 1:
                _write(unfinished, 1, content, arrays)
            else:
                self._write_part(unfinished, content, arrays)
                self._await_parts(unfinished)
                _flush_folder(unfinished)
            target = self.path / f"checkpoint-{step:09d}"
            if target.exists():  # the same step, written before an interruption
                os.rename(target, replaced)
            os.rename(unfinished, target)
            _flush_folder(self.path)
        finally:
            for left in (unfinished, replaced):
                shutil.rmtree(left, ignore_errors=True)
        for _, old in self.found()[self.keep :]:
            shutil.rmtree(old, ignore_errors=True)

    def _write_part(self, unfinished: Path, content: Any, arrays: Arrays) -> None:
        unfinished.mkdir(exist_ok=True)
        part = _part(unfinished, self.index)
        _write(part.with_suffix(".unfinished"), self.count, content, arrays)
        os.rename(part.with_suffix(".unfinished"), part)  # marks the part as complete

    def _await_parts(self, unfinished: Path) -> None:
        deadline = time.monotonic() + PATIENCE
        missing = [*range(self.count)]
        while missing := [i for i in missing if not _part(unfinished, i).exists()]:
            if self._alone.wait(0.01) or time.monotonic() > deadline:
                raise TimeoutError(
                    f"Worker {missing[0]} has not written its part of {unfinished}. Earlier "
                    "checkpoints are complete."
                )

    def give_up(self) -> None:
        """Stops waiting for the parts of other processes."""
        self._alone.set()

    def forget_after(self, step: int) -> None:
        """Removes the checkpoints with a greater step."""
        for found, folder in self.found():
            if found > step:
                shutil.rmtree(folder)

    # -- reading ----------------------------------------------------------------------------

    def found(self) -> list[tuple[int, Path]]:
        """The existing checkpoints, as pairs of step and folder, newest first."""
        matches = [(NAME.fullmatch(p.name), p) for p in self.path.glob("checkpoint-*")]
        own = ((int(m[1]), p) for m, p in matches if m and not p.is_symlink())
        return sorted(own, reverse=True)

    def whole(self) -> Iterator[int]:
        """Yields the steps of the checkpoints that this process can read, newest first.

        Raises:
            ValueError: If one was written by a newer version.
        """
        for step, folder in self.found():
            try:
                self._known[step] = self._needed(folder)
            except DamagedError as error:
                warnings.warn(
                    f"The checkpoint {folder} is damaged ({error}); the previous one is used.",
                    stacklevel=2,
                )
                continue
            yield step

    def read(self, choose: Choice = lambda steps: next(steps, None)) -> Any:
        """Returns this process's part of a checkpoint, or `None` if there is no checkpoint.

        If a different number of processes wrote it (see `writers`), this is the first part.

        Args:
            choose: Function of an iterator like `whole` that returns one step or `None`. Default:
                the newest step.

        Raises:
            ValueError: If there are checkpoints and all are damaged, or if the content is invalid
                although its checksums match.
        """
        step = choose(self.whole())
        if step is None:
            if found := self.found():
                raise ValueError(
                    f"All {len(found)} checkpoints in {self.path} are damaged. Delete them to "
                    "train from the beginning."
                )
            return None
        (folder, manifest), *_ = self._known[step]
        self.writers = manifest["parts"]
        return self._content(folder, manifest)

    def read_all(self, step: int) -> list[Any]:
        """The contents of all parts of one checkpoint, ordered by process."""
        folder = self.path / f"checkpoint-{step:09d}"
        return [self._content(part, _manifest(part)) for part in _parts(folder)]

    def _content(self, folder: Path, manifest: dict[str, Any]) -> Any:
        """Reads and checks the content of a part. Matching checksums do not make it valid."""
        try:
            content = unpack(manifest["content"], read_arrays(folder / ARRAYS))
            if self._check is not None:
                self._check(content)
        except Exception as error:
            raise ValueError(
                f"The checkpoint {folder} has valid checksums but invalid contents. Delete it to "
                f"resume from the previous one. Reason: {error}"
            ) from error
        return content

    def _needed(self, folder: Path) -> list[tuple[Path, dict[str, Any]]]:
        """Folders and manifests of the parts to read; raises `DamagedError` if one is damaged."""
        parts = needed = _parts(folder)
        if len(parts) == self.count:
            needed = [parts[self.index]]
        found = [(part, _manifest(part)) for part in needed]
        if any(manifest["parts"] != len(parts) for _, manifest in found):
            raise DamagedError("a part is missing")
        return found


def _part(folder: Path, index: int) -> Path:
    return folder / f"worker-{index}"


def _parts(folder: Path) -> list[Path]:
    count = len([*folder.glob("worker-*")])
    return [_part(folder, index) for index in range(count)] or [folder]


def _manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a part; raises `DamagedError` unless its checksums match."""
    try:
        manifest = json.loads(_plain(folder, MANIFEST).read_text(encoding="utf-8"))
        whole = manifest.pop("checksum") == _checksum(manifest)
        check_form(manifest, {"format": count}, MANIFEST)
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise DamagedError(f"{MANIFEST}: {error}") from error
    if not whole:
        raise DamagedError(f"{MANIFEST}: wrong checksum")
    if manifest["format"] > FORMAT:
        raise ValueError(
            f"The checkpoint {folder} has format {manifest['format']}; this version reads up "
            f"to {FORMAT}. Install a newer keras_gdx."
        )
    try:
        check_form(manifest, FORM, MANIFEST)
        if _digest(_plain(folder, ARRAYS)) != manifest["arrays"]:
            raise DamagedError(f"{ARRAYS}: wrong checksum")
    except (OSError, ValueError) as error:
        raise DamagedError(error) from error
    return manifest


def _plain(folder: Path, name: str) -> Path:
    """The path of a checkpoint's file; links are rejected."""
    path = folder / name
    if folder.is_symlink() or path.is_symlink() or (path.exists() and not path.is_file()):
        raise DamagedError(f"{name}: not a regular file")
    return path


def _write(folder: Path, parts: int, content: Any, arrays: Arrays) -> None:
    """Writes one of `parts` parts into a new folder, and flushes it to disk."""
    folder.mkdir()
    manifest = {"format": FORMAT, "parts": parts, "content": content}
    with open(folder / ARRAYS, "wb") as file:
        np.savez(file, **arrays)
        _flush(file)
    manifest["arrays"] = _digest(folder / ARRAYS)
    manifest["checksum"] = _checksum(manifest)
    with open(folder / MANIFEST, "w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=1)
        _flush(file)
    _flush_folder(folder)


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checksum(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _flush(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _flush_folder(path: Path) -> None:
    if os.name == "nt":  # Windows cannot open folders
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
