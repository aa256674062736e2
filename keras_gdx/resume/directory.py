"""A directory of checkpoints in which a crash at any moment leaves only whole ones.

A checkpoint is a folder: `arrays.npz`, and `manifest.json` with everything else and the
checksum of both. It is written under another name, flushed to the disk, and renamed.
"""

import hashlib
import json
import os
import re
import shutil
import uuid
import warnings
from pathlib import Path

import numpy as np

from keras_gdx.resume.records import unpack

FORMAT = 1
ARRAYS, MANIFEST = "arrays.npz", "manifest.json"
NAME = re.compile(r"checkpoint-(\d{9,})")
UNFINISHED = ".unfinished-"


class DamagedError(Exception):
    """What is wrong with a checkpoint."""


class Directory:
    """The checkpoints of one run.

    Args:
        path: The directory; it is made if there is none.
        keep: How many checkpoints to keep.

    Raises:
        OSError: If nothing can be written there.
    """

    def __init__(self, path, keep):
        self.path = Path(path)
        self.keep = keep

    def prepare(self):
        """Makes the directory, tries it, and removes what a crash has left unfinished."""
        probe = self.path / f"{UNFINISHED}{uuid.uuid4().hex}"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe.mkdir()
            (probe / MANIFEST).write_bytes(b"{}")
        except OSError as error:
            raise type(error)(
                error.errno, f"The directory of checkpoints cannot be written: {error.strerror}",
                str(self.path),
            ) from error  # fmt: skip
        for left in self.path.glob(f"{UNFINISHED}*"):
            shutil.rmtree(left, ignore_errors=True)

    def write(self, step, content, arrays):
        """Writes a checkpoint; the older ones stay until it is whole.

        Args:
            step: Integer >= 0; the checkpoint with the greatest one is the newest.
            content: What `records.pack` returned, and
            arrays: the arrays that it has put aside.
        """
        unfinished = self.path / f"{UNFINISHED}{uuid.uuid4().hex}"
        try:
            unfinished.mkdir()
            manifest = {"format": FORMAT, "content": content}
            with open(unfinished / ARRAYS, "wb") as file:
                np.savez(file, **arrays)
                _flush(file)
            manifest["arrays"] = _digest(unfinished / ARRAYS)
            manifest["checksum"] = _checksum(manifest)
            with open(unfinished / MANIFEST, "w", encoding="utf-8") as file:
                json.dump(manifest, file, indent=1)
                _flush(file)
            _flush_folder(unfinished)
            target = self.path / f"checkpoint-{step:09d}"
            if target.exists():  # the same step, written before an interruption
                os.rename(target, self.path / f"{UNFINISHED}{uuid.uuid4().hex}")
            os.rename(unfinished, target)
            _flush_folder(self.path)
        finally:
            for left in self.path.glob(f"{UNFINISHED}*"):
                shutil.rmtree(left, ignore_errors=True)
        for _, old in self.found()[self.keep :]:
            shutil.rmtree(old, ignore_errors=True)

    def found(self):
        """The checkpoints that there are, as pairs of step and folder, newest first."""
        matches = [(NAME.fullmatch(p.name), p) for p in self.path.glob("checkpoint-*")]
        return sorted(((int(m[1]), p) for m, p in matches if m), reverse=True)

    def forget_after(self, step):
        """Removes the checkpoints with a greater step."""
        for found, folder in self.found():
            if found > step:
                shutil.rmtree(folder)

    def read(self):
        """The content of the newest checkpoint that is whole, or `None` if there is none.

        Raises:
            ValueError: If there are checkpoints and all are damaged, or the newest was
                written by a newer version.
        """
        found = self.found()
        for _, folder in found:
            try:
                return _content(folder)
            except DamagedError as error:
                warnings.warn(
                    f"The checkpoint {folder} is damaged ({error}); the one before it is used.",
                    stacklevel=2,
                )
        if found:
            raise ValueError(
                f"All {len(found)} checkpoints in {self.path} are damaged. Remove them to start "
                "again from the beginning."
            )
        return None


def _content(folder):
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        whole = manifest.pop("checksum") == _checksum(manifest)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise DamagedError(f"{MANIFEST}: {error}") from error
    if not whole:
        raise DamagedError(f"{MANIFEST}: wrong checksum")
    if manifest["format"] > FORMAT:
        raise ValueError(
            f"The checkpoint {folder} has format {manifest['format']}; this version reads up to "
            f"{FORMAT}. Install a newer keras_gdx."
        )
    try:
        if _digest(folder / ARRAYS) != manifest["arrays"]:
            raise DamagedError(f"{ARRAYS}: wrong checksum")
        with np.load(folder / ARRAYS) as arrays:
            return unpack(manifest["content"], arrays)
    except OSError as error:
        raise DamagedError(f"{ARRAYS}: {error}") from error


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
