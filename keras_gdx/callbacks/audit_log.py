"""A tamper-evident log of a training run."""

import hashlib
import json
import math
import os
import platform
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_gdx._version import __version__
from keras_gdx.callbacks._lib.argument_types import File
from keras_gdx.callbacks._lib.hyperparameters import hyperparameters
from keras_gdx.callbacks.base import Callback, Logs
from keras_gdx.registry import register
from keras_gdx.report.findings import logged

__all__ = ["AuditLog"]

NAMES = ("learning_rate", "weight_decay", "momentum")


@register
class AuditLog(Callback):
    """Writes a tamper-evident log of the run, as a hash chain of JSON lines.

    Events are `begin` (versions, arguments of `fit`, optimizer with all its arguments, loss,
    shapes and fingerprint of all weights), `epoch` (logs, learning rate and decay, seconds) and
    `end` (fingerprint). Each line contains the SHA-256 of the previous line: changing, removing
    or reordering lines breaks the chain, and `AuditLog.verify` reports where. (To detect that
    the complete end of the file was rewritten, keep a copy of the last line's hash.) Each line
    is flushed to disk before training continues. An existing file is continued, never modified;
    only a last line that a crash left incomplete is replaced by an event `unfinished`, with the
    line's length and hash.

    Args:
        path: Path of the log file.
        note: Text stored in `begin`, such as the purpose of the run, or the source of its data.

    Raises:
        ValueError: If an argument has another type; when training begins, if the chain in the
            file is broken.

    Example:
        >>> import json, keras, numpy as np, tempfile
        >>> from keras_gdx.callbacks import AuditLog
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> x, path = np.ones((8, 1)), tempfile.mkdtemp() + "/run.jsonl"
        >>> callback = AuditLog(path)
        >>> history = model.fit(x, x, epochs=2, verbose=0, callbacks=[callback])
        >>> [json.loads(line)["event"] for line in open(path)], AuditLog.verify(path)
        (['begin', 'epoch', 'epoch', 'end'], 4)

    Source: by definition

    Verified against: files that were tampered with
    """

    last = True
    writes = True

    def __init__(self, path: File, note: str = ""):
        super().__init__()
        self.path = path
        self.note = note

    @staticmethod
    def verify(path: str | os.PathLike[str]) -> int:
        """Verifies the hash chain; returns the number of lines.

        Args:
            path: Path of a log file of this callback.

        Raises:
            ValueError: If the chain is broken, with the number of the first bad line, or if the
                last line is incomplete.
        """
        count, _, rest = _checked(path)
        if rest:
            raise ValueError(
                f"{path}, line {count + 1}: unfinished, a program was stopped while it wrote. The "
                "lines before are whole; the next run goes on from them."
            )
        return count

    def on_train_begin(self, logs: Logs = None) -> None:
        """Writes the event `begin`."""
        super().on_train_begin(logs)
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        self._last = ""
        if Path(self.path).exists():
            _, self._last, rest = _checked(self.path)
            if rest:
                os.truncate(self.path, os.path.getsize(self.path) - len(rest))
                self._write("unfinished", bytes=len(rest), sha256=_sum(rest))
        self._write(
            "begin",
            note=self.note,
            versions={"keras_gdx": __version__, "keras": keras.__version__,
                      "backend": keras.backend.backend(), "python": platform.python_version()},
            fit=dict(self.params),
            optimizer=keras.saving.serialize_keras_object(self.model.optimizer),
            loss=_text(getattr(self.model, "loss", None)),
            weights=[[v.path, list(v.shape), str(v.dtype)] for v in self.model.weights],
            fingerprint=self._fingerprint(),
        )  # fmt: skip

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Starts the clock."""
        super().on_epoch_begin(epoch, logs)
        self._began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Writes the event `epoch`."""
        self._write(
            "epoch",
            epoch=epoch + 1,
            seconds=round(time.monotonic() - self._began, 3),
            logs={name: _recorded(value) for name, value in (logs or {}).items()},
            next=hyperparameters(self.model, NAMES),
        )

    def on_train_end(self, logs: Logs = None) -> None:
        """Writes the event `end`."""
        self._write("end", fingerprint=self._fingerprint())

    def _fingerprint(self) -> str:
        """A checksum of all weights."""
        found = hashlib.sha256()
        for variable in self.model.weights:
            found.update(np.ascontiguousarray(keras.ops.convert_to_numpy(variable)).tobytes())
        return found.hexdigest()

    def _write(self, event: str, **content: Any) -> None:
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        record = {"event": event, "time": when, **content, "before": self._last}
        line = json.dumps(record, default=_text).encode()
        with open(self.path, "ab") as file:
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._last = _sum(line)


def _checked(path: str | os.PathLike[str]) -> tuple[int, str, bytes]:
    """The number of lines, the hash of the last one, and the incomplete line after it."""
    *lines, rest = Path(path).read_bytes().split(b"\n")
    last = ""
    for number, line in enumerate(lines, 1):
        try:
            good = json.loads(line)["before"] == last
        except (ValueError, KeyError, TypeError, RecursionError):
            good = False
        if not good:
            raise ValueError(f"{path}, line {number}: this or the line before it was changed.")
        last = _sum(line)
    return len(lines), last, rest


def _sum(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _recorded(value: Any) -> float | str | None:
    """A value of the logs as JSON, which has no infinity and no NaN."""
    number = logged({"": value}).get("", math.nan)
    return number if math.isfinite(number) else None if value is None else _text(value)


def _text(thing: Any) -> str:
    return str(thing if isinstance(thing, str) else getattr(thing, "name", None) or repr(thing))
