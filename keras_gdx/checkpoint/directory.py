"""A directory of checkpoints in which a crash at any moment leaves only whole ones.

A checkpoint is a folder: `arrays.npz`, and `manifest.json` with everything else and the
checksum of both. It is written under another name, flushed to the disk, and renamed. Where
several processes train together each writes a part, a folder like this inside of the
checkpoint, and the first one of them renames the whole when all parts are there.
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
from pathlib import Path

import numpy as np

from keras_gdx.checkpoint.serialization import read_arrays, unpack
from keras_gdx.schema import check_form, count

FORMAT = 1
FORM = {"parts": count, "arrays": str, "content": dict}
ARRAYS, MANIFEST = "arrays.npz", "manifest.json"
NAME = re.compile(r"checkpoint-([0-9]{9,})")
UNFINISHED = ".unfinished-"
PATIENCE = 600.0  # seconds in which all parts of a checkpoint must be there


class DamagedError(Exception):
    """What is wrong with a checkpoint."""


class Directory:
    """The checkpoints of one run.

    Args:
        path: The directory; it is made if there is none.
        keep: How many checkpoints to keep.
        count: How many processes write there together.
        index: Which one of them this is; the first one puts checkpoints together.
        run: A name that they share, and no run before had.
        check: Function that raises `ValueError` unless what it is given is the content of one
            of these checkpoints.

    Raises:
        OSError: If nothing can be written there.
    """

    def __init__(self, path, keep, count=1, index=0, run=None, check=None):
        self.path = Path(path)
        self.keep = keep
        self.count = count
        self.index = index
        self.run = run or uuid.uuid4().hex
        self._check = check
        self._writes = 0  # as many on all of them
        self.writers = count
        self._known: dict = {}  # of each step what `_needed` has found
        self._alone = threading.Event()

    def prepare(self):
        """Makes the directory, tries it, and removes what a crash has left unfinished."""
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
        if self.index == 0:
            for left in self.path.glob(f"{UNFINISHED}*"):
                shutil.rmtree(left, ignore_errors=True)

    # -- writing ----------------------------------------------------------------------------

    def write(self, step, content, arrays):
        """Writes a checkpoint, or this process' part; the older ones stay until it is whole.

        Args:
            step: Integer >= 0; the checkpoint with the greatest one is the newest.
            content: What `records.pack` returned, and
            arrays: the arrays that it has put aside.

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

    def _write_part(self, unfinished, content, arrays):
        unfinished.mkdir(exist_ok=True)
        part = _part(unfinished, self.index)
        _write(part.with_suffix(".unfinished"), self.count, content, arrays)
        os.rename(part.with_suffix(".unfinished"), part)  # now the first process may rename all

    def _await_parts(self, unfinished):
        deadline = time.monotonic() + PATIENCE
        missing = [*range(self.count)]
        while missing := [i for i in missing if not _part(unfinished, i).exists()]:
            if self._alone.wait(0.01) or time.monotonic() > deadline:
                raise TimeoutError(
                    f"Worker {missing[0]} has not written its part of {unfinished}. The "
                    "checkpoints before it are whole."
                )

    def give_up(self):
        """Waits for the parts of other processes no more."""
        self._alone.set()

    def forget_after(self, step):
        """Removes the checkpoints with a greater step."""
        for found, folder in self.found():
            if found > step:
                shutil.rmtree(folder)

    # -- reading ----------------------------------------------------------------------------

    def found(self):
        """The checkpoints that there are, as pairs of step and folder, newest first."""
        matches = [(NAME.fullmatch(p.name), p) for p in self.path.glob("checkpoint-*")]
        own = ((int(m[1]), p) for m, p in matches if m and not p.is_symlink())
        return sorted(own, reverse=True)

    def whole(self):
        """The steps of the checkpoints that this process can read, newest first.

        Raises:
            ValueError: If one was written by a newer version.
        """
        for step, folder in self.found():
            try:
                self._known[step] = self._needed(folder)
            except DamagedError as error:
                warnings.warn(
                    f"The checkpoint {folder} is damaged ({error}); the one before it is used.",
                    stacklevel=2,
                )
                continue
            yield step

    def read(self, choose=lambda steps: next(steps, None)):
        """This process' part of one of the checkpoints, or `None` if there is none.

        If more or fewer processes have written it, as `writers` says then, it is the first part.

        Args:
            choose: Function of an iterator like `whole`, that returns one step or `None`. By
                default it is the newest.

        Raises:
            ValueError: If there are checkpoints and all are damaged, or it is none although its
                checksums are right.
        """
        step = choose(self.whole())
        if step is None:
            if found := self.found():
                raise ValueError(
                    f"All {len(found)} checkpoints in {self.path} are damaged. Remove them to "
                    "start again from the beginning."
                )
            return None
        (folder, manifest), *_ = self._known[step]
        self.writers = manifest["parts"]
        return self._content(folder, manifest)

    def read_all(self, step):
        """The contents of all parts of one checkpoint, in the order of their processes."""
        folder = self.path / f"checkpoint-{step:09d}"
        return [self._content(part, _manifest(part)) for part in _parts(folder)]

    def _content(self, folder, manifest):
        """What a part contains; anybody can have made one with the right checksums."""
        try:
            content = unpack(manifest["content"], read_arrays(folder / ARRAYS))
            if self._check is not None:
                self._check(content)
        except Exception as error:
            raise ValueError(
                f"{folder} is no checkpoint, although its checksums are right. Remove it to go on "
                f"from the one before. What is wrong: {error}"
            ) from error
        return content

    def _needed(self, folder):
        """Folders and manifests of the parts to read, if all checksums are right."""
        parts = needed = _parts(folder)
        if len(parts) == self.count:
            needed = [parts[self.index]]
        found = [(part, _manifest(part)) for part in needed]
        if any(manifest["parts"] != len(parts) for _, manifest in found):
            raise DamagedError("a part is missing")
        return found


def _part(folder, index):
    return folder / f"worker-{index}"


def _parts(folder):
    count = len([*folder.glob("worker-*")])
    return [_part(folder, index) for index in range(count)] or [folder]


def _manifest(folder):
    """The manifest of a part, if its checksums are right."""
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


def _plain(folder, name):
    """The path of a file of a checkpoint, which is no link to somewhere else."""
    path = folder / name
    if folder.is_symlink() or path.is_symlink() or (path.exists() and not path.is_file()):
        raise DamagedError(f"{name}: no plain file")
    return path


def _write(folder, parts, content, arrays):
    """Writes arrays and manifest of one of so many parts into a new folder, down to the disk."""
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


def _digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checksum(manifest):
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _flush(file):
    file.flush()
    os.fsync(file.fileno())


def _flush_folder(path):
    if os.name == "nt":  # Windows has no handles of folders
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
