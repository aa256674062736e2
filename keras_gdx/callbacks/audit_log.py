"""A record of a run that shows if somebody has changed it."""

import hashlib
import json
import os
import platform
import time
from pathlib import Path

import keras
import numpy as np

from keras_gdx._version import __version__
from keras_gdx.callbacks._lib.hyperparameters import hyperparameters
from keras_gdx.callbacks.base import Callback
from keras_gdx.config import check
from keras_gdx.registry import register

__all__ = ["AuditLog"]

NAMES = ("learning_rate", "weight_decay", "momentum")


@register
class AuditLog(Callback):
    """Writes a record of the run, in lines of JSON that cannot be changed unseen.

    Events are `begin` (versions, arguments of `fit`, optimizer with all its arguments, loss, the
    shapes of all weights and a fingerprint of them), `epoch` (logs, learning rate and decay,
    seconds) and `end` (fingerprint). Each line has the SHA-256 of the line before it:
    changing, leaving out or reordering lines breaks the chain, and `AuditLog.verify` says
    where. (Who rewrites the whole rest of the file is found out by a copy of the last
    line's sum only.) Each line is on the disk before training goes on. A file that exists is
    continued; nothing in it is ever changed, but for a last line that a crash left unfinished: an
    event `unfinished` takes its place, with its length and sum.

    Args:
        path: The file.
        note: Text that `begin` carries, such as what the run is for, or where data is from.

    Raises:
        ValueError: If an argument is something else, or, when training begins, the chain in the
            file is broken.

    Example:
        >>> import json, keras, numpy as np, tempfile
        >>> from keras_gdx.callbacks import AuditLog
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> x, path = np.ones((8, 1)), tempfile.mkdtemp() + "/run.jsonl"
        >>> history = model.fit(x, x, epochs=2, verbose=0, callbacks=[AuditLog(path)])
        >>> [json.loads(line)["event"] for line in open(path)], AuditLog.verify(path)
        (['begin', 'epoch', 'epoch', 'end'], 4)

    Source: by definition

    Verified against: files that were tampered with
    """

    last = True
    writes = True

    def __init__(self, path, note=""):
        super().__init__()
        check(isinstance(path, (str, Path)) and str(path), "path", path, "the name of a file")
        check(isinstance(note, str), "note", note, "a text")
        self.path = str(path)
        self.note = note

    @staticmethod
    def verify(path):
        """Returns how many lines there are.

        Args:
            path: A file of this callback.

        Raises:
            ValueError: If the chain is broken, with the number of the first line that is wrong, or
                the last line is unfinished.
        """
        count, _, rest = _checked(path)
        if rest:
            raise ValueError(
                f"{path}, line {count + 1}: unfinished, a program was stopped while it wrote. The "
                "lines before are whole; the next run goes on from them."
            )
        return count

    def on_train_begin(self, logs=None):
        """Writes what the run consists of."""
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

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the clock."""
        super().on_epoch_begin(epoch, logs)
        self._began = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        """Writes the results of an epoch."""
        self._write(
            "epoch",
            epoch=epoch + 1,
            seconds=round(time.monotonic() - self._began, 3),
            logs={name: float(value) for name, value in (logs or {}).items()},
            next=hyperparameters(self.model, NAMES),
        )

    def on_train_end(self, logs=None):
        """Writes the end."""
        self._write("end", fingerprint=self._fingerprint())

    def _fingerprint(self):
        """A checksum of all weights."""
        found = hashlib.sha256()
        for variable in self.model.weights:
            found.update(np.ascontiguousarray(keras.ops.convert_to_numpy(variable)).tobytes())
        return found.hexdigest()

    def _write(self, event, **content):
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        record = {"event": event, "time": when, **content, "before": self._last}
        line = json.dumps(record, default=_text).encode()
        with open(self.path, "ab") as file:
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._last = _sum(line)


def _checked(path):
    """How many lines there are, the sum of the last one, and what is left of one more."""
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


def _sum(line):
    return hashlib.sha256(line).hexdigest()


def _text(thing):
    return thing if isinstance(thing, str) else getattr(thing, "name", None) or repr(thing)
