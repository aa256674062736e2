"""An HTML report of a training run."""

import errno
import os
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import keras

from keras_gdx.arguments import needs_matplotlib
from keras_gdx.callbacks._lib.argument_types import File
from keras_gdx.callbacks._lib.hyperparameters import (
    hyperparameters,
    scheduled_rates,
    updates,
)
from keras_gdx.callbacks.base import Callback, Logs
from keras_gdx.callbacks.hyperparameter_logger import USUAL
from keras_gdx.integration.epochs import Epochs
from keras_gdx.integration.weight_swap import evaluation_weights
from keras_gdx.registry import register
from keras_gdx.report.findings import logged, sources
from keras_gdx.report.page import page
from keras_gdx.report.run_facts import facts, parameters

__all__ = ["TrainingReport"]

CURVE = 400  # points of a learning rate over all epochs


class Told(NamedTuple):
    """The state of a `TrainingReport`, over all parts of the run.

    Attributes:
        parts: One dictionary for each `fit`: `began` and `seen`, seconds since 1970; `first`,
            its first epoch; `state`; `facts`.
        epochs: One dictionary for each epoch: `epoch`, `seconds`, `logs`, `settings`, `rates`.
    """

    parts: Sequence[dict[str, Any]] = ()
    epochs: Sequence[dict[str, Any]] = ()


@register
class TrainingReport(Callback):
    """Writes a self-contained HTML report of the run.

    It shows the model, the optimizer with all settings, the arguments of `fit`, versions, devices
    and the seed; a chart for each metric with its validation values, and for each hyperparameter
    that changes, if it is a learning-rate schedule by update; the best epoch of each metric; the
    `findings` of other callbacks as charts and tables; and a table of all epochs. The file needs
    no network and no other file, and supports small screens, dark mode, print and screen readers.

    The page is replaced atomically at the end of every epoch, so there is always a complete one.
    An old page that says `running` means that the run was killed. With `ResumableCheckpoint`, a
    resumed run has one page for all its parts, with their start and end times and what changed
    between them. If the page cannot be written during training, a warning says why, and training
    continues.

    Args:
        path: Path of the HTML file; its folder is created if missing.
        title: Title of the page; `None` is the name of the model.
        explain: Function of the trained model that returns an `Explanation`, or a dictionary of
            titles and these: `lambda model: keras_gdx.explain(model, x[:3])`. It is called when
            training ends, with the evaluation weights, and the page has the pictures of the first
            six examples of each. If it fails, a warning says why.

    Raises:
        ValueError: If `path` is not the name of a file, `title` not a string, or `explain` no
            function.
        ImportError: When training begins, if matplotlib is missing; install `keras_gdx[report]`.
        OSError: When training begins, if the folder cannot be written.

    Example:
        >>> import keras, numpy as np, tempfile
        >>> from keras_gdx.callbacks import TrainingReport
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)], name="small")
        >>> model.compile("sgd", "mse")
        >>> x, path = np.ones((8, 1)), tempfile.mkdtemp() + "/report.html"
        >>> callback = TrainingReport(path)
        >>> history = model.fit(x, x, epochs=2, verbose=0, callbacks=[callback])
        >>> "<title>small: training report</title>" in open(path).read()
        True

    Source: by definition

    Verified against: the page, parsed
    """

    fresh = Told()
    last = True
    writes = True
    resumes_exactly = False
    _clock = staticmethod(time.time)
    _others: Sequence[Any] = ()
    _examples: Any = None
    _running = False

    def __init__(
        self,
        path: File,
        title: str | None = None,
        explain: Callable[[keras.Model], Any] | None = None,
    ):
        super().__init__()
        self.path = path
        self.title = title
        self.explain = explain
        callable_or_none = explain is None or callable(explain)
        self._check(callable_or_none, "explain", explain, "a function, or None")
        self._check(
            not os.path.isdir(path), "path", path, "the name of a file, and this is a folder"
        )

    def state(self) -> dict[str, Any]:
        """Returns the state as a dictionary, up to now."""
        if self._running:
            self._see()
        return super().state()

    @contextmanager
    def around_fit(self, model: Any, callbacks: list[Any]) -> Iterator[list[Any]]:
        """Collects the other callbacks' findings, and reports a run that ends with an error."""
        epochs = next(each for each in callbacks if isinstance(each, Epochs))
        self._examples = epochs.batch_size
        self._others = tuple(each for each in epochs.others if each is not self)
        try:
            yield callbacks
        except BaseException as error:
            if self._running:
                reason = str(error).partition("\n")[0][:200]
                self._see(state=f"interrupted by {type(error).__name__}: {reason}".rstrip(": "))
                self._write()
            raise
        finally:
            self._others, self._examples, self._running = (), None, False

    def on_train_begin(self, logs: Logs = None) -> None:
        """Checks that a page can be created and written."""
        super().on_train_begin(logs)
        self._running = False
        needs_matplotlib("TrainingReport")
        try:
            os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
            if os.path.isdir(self.path):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            probe = self._beside()
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise type(error)(
                error.errno, f"The report cannot be written: {error.strerror}", self.path
            ) from error

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Begins a part of the run at its first epoch, when a checkpoint is already restored."""
        super().on_epoch_begin(epoch, logs)
        self._began = self._clock()
        self._updates = updates(self.model)
        if not self._running:
            made_of = facts(self.model, self.params, self._examples, self._others)
            part: dict[str, Any] = {"began": self._began, "seen": self._began, "first": epoch + 1}
            part |= {"state": "running", "facts": made_of}
            self.memory = self.memory._replace(parts=(*self.memory.parts, part))
            self._running = True

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Stores the epoch and writes the page."""
        optimizer = self.model.optimizer
        numbers = logged(logs)
        now = hyperparameters(self.model, USUAL)
        named = {*now, *optimizer.get_config()}
        row = {
            "epoch": epoch + 1,
            "seconds": self._clock() - self._began,
            "logs": {name: value for name, value in numbers.items() if name not in named},
            "settings": now | {name: value for name, value in numbers.items() if name in named},
            "rates": scheduled_rates(self.model, self._updates, self._points),
        }
        self.memory = self.memory._replace(epochs=(*self.memory.epochs, row))
        self._see()
        self._write()

    def on_train_end(self, logs: Logs = None) -> None:
        """Writes the final page, unless the resumed run was already complete."""
        done = self.memory.epochs[-1]["epoch"] if self.memory.epochs else 0
        if self._running:
            early = self.model.stop_training or done < self.params.get("epochs", done)
            self._see(state="stopped early" if early else "finished")
        if self.memory.parts:
            self._write(final=True)
        self._running = False

    @property
    def _points(self) -> int:
        """The points of an epoch in the chart of the learning rate."""
        return max(2, CURVE // self.params.get("epochs", 1))

    def _see(self, **changes: Any) -> None:
        """Updates the entry of the current part of the run."""
        *before, part = self.memory.parts
        part = {**part, "seen": self._clock(), **changes}
        self.memory = self.memory._replace(parts=(*before, part))

    def _write(self, final: bool = False) -> None:
        """Replaces the page; an error is only a warning, so that it cannot end the run."""
        beside = self._beside()
        try:
            *before, part = self.memory.parts
            about = part["facts"]
            about = {**about, "Model": about["Model"] | parameters(self.model)}
            found = {name: [*each.findings()] for name, each in sources(self._others).items()}
            found = {name: rows for name, rows in found.items() if rows}
            parts = [*before, {**part, "facts": about}]
            explained = self._explained() if final else {}
            text = page(parts, self.memory.epochs, found, self.title, explained)
            with open(beside, "wb") as file:
                file.write(text.encode("utf-8", "replace"))
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, self.path)
        except Exception as error:
            with suppress(OSError):
                beside.unlink()
            warnings.warn(
                f"TrainingReport: {self.path} is as it was, because writing it failed with "
                f"{type(error).__name__}: {error}",
                stacklevel=2,
            )

    def _explained(self) -> dict[str, Any]:
        """What explains the model, by title."""
        if self.explain is None:
            return {}
        try:
            with evaluation_weights(self.model):
                found = self.explain(self.model)
        except Exception as error:  # the page says all the same how the run ended
            warnings.warn(
                f"TrainingReport: {self.path} has no explanations, because `explain` failed with "
                f"{type(error).__name__}: {error}",
                stacklevel=2,
            )
            return {}
        return dict(found) if isinstance(found, Mapping) else {"What the model looks at": found}

    def _beside(self) -> Path:
        """A unique temporary name in the page's folder."""
        path = Path(self.path)
        return path.with_name(f".{path.name}.{uuid.uuid4().hex}")
