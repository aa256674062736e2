"""Checkpoints from which `fit` resumes bit for bit."""

import random
import signal
import threading
import time
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from keras_gdx.arguments import PositiveInt, needs_tensorflow
from keras_gdx.callbacks._lib.amount import Every
from keras_gdx.callbacks._lib.argument_types import Folder, Verbosity
from keras_gdx.callbacks._lib.say import say
from keras_gdx.callbacks.base import Callback, Logs, batches_until
from keras_gdx.checkpoint import elastic as resize
from keras_gdx.checkpoint import snapshot
from keras_gdx.checkpoint.directory import Directory
from keras_gdx.checkpoint.lock import locked
from keras_gdx.checkpoint.schema import check_checkpoint, check_metrics
from keras_gdx.checkpoint.serialization import pack
from keras_gdx.checkpoint.writer import Writer
from keras_gdx.integration import callback_state, settings
from keras_gdx.integration.model_attributes import begin_at, peers_of
from keras_gdx.integration.model_building import build_optimizer
from keras_gdx.integration.random_state import restore_random_state
from keras_gdx.registry import register

__all__ = ["ResumableCheckpoint"]

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: try again


@register
class ResumableCheckpoint(Callback):
    """Saves the complete training state, from which the next `fit` resumes.

    After a crash, a kill or a power failure, run the same program again: `fit` loads the newest
    intact checkpoint and ends with the weights, logs and learning rates of an uninterrupted run,
    bit for bit if the hardware is deterministic. A checkpoint contains weights and statistics,
    optimizers (including a partly filled accumulation window), the metrics of the current
    epoch, the random states of layers, Keras, Python and NumPy, the history, the state of
    callbacks (those with `state` and `restore`, and Keras' own), and the position in the data:

    - Arrays and `keras.utils.PyDataset` are shuffled by a seed and the epoch, so every epoch
      has another order. (After `keras.utils.set_random_seed` Keras repeats the same
      permutation in every epoch.)
    - Of a `tf.data` pipeline the iterator is saved, including its shuffle buffers, which
      enlarge the file by their contents. Give `shuffle` a `seed`, or later epochs differ.
    - Data that cannot save its position (Python generators, pipelines with `py_function`,
      infinite ones with `steps_per_epoch`, data distributed by a strategy) is read from the
      beginning and skipped up to that position, with a warning. This is exact if the data
      has the same order every time.

    The state of stateful TensorFlow operations (`tf.random.normal` without a generator) is not
    saved. Hyperparameters stored in variables, such as a constant learning rate, are restored
    from the checkpoint, even if the program now sets other values.

    A checkpoint is copied on the training thread and written by another thread: to a temporary
    name, flushed, then renamed, with checksums. A damaged one is skipped with a warning. If
    writing fails, the next batch raises the error; model and older checkpoints are unaffected.
    The callback always runs after all others, so that it saves their final state. With several
    workers each writes its own part, and all of them must be able to read all parts. A run can
    also resume with another number of workers or replicas: with a warning, and equal to training
    on one device only up to rounding.

    Args:
        directory: Path of the folder for this run's checkpoints; created if missing. Use one
            folder per run. All workers must see the same folder.
        every: `"epoch"` or `"2 epochs"`; or an amount such as `"500 steps"` (a step is a batch)
            or `"10 minutes"`, or a number of steps. Ends of epochs are saved only with epochs;
            the end of training is always saved.
        keep: Integer >= 1: number of checkpoints to keep.
        on_signal: Whether `SIGTERM` saves after the current batch and exits the program with
            code 75 ("try again"). Works only in the main thread.
        verbose: 1 to print where training resumes, 0 to print nothing.

    Raises:
        ValueError: If an argument is out of range, the backend is not TensorFlow, the
            checkpoint belongs to another model or optimizer or to an epoch with another
            number of batches, all checkpoints are damaged, or the newest was written by a
            newer version. Model and optimizer are then unchanged.
        OSError: If the directory cannot be written, another program writes to it, or the
            disk is full.

    Example:
        >>> import keras, numpy as np, tempfile
        >>> from keras_gdx.callbacks import ResumableCheckpoint
        >>> callback = ResumableCheckpoint(tempfile.mkdtemp(), every="3 steps")
        >>> def train(epochs):
        ...     keras.utils.set_random_seed(1)
        ...     model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        ...     model.compile("adam", "mse")
        ...     x = np.arange(64.0).reshape(-1, 1) / 64
        ...     options = {"batch_size": 8, "epochs": epochs, "verbose": 0}
        ...     fitted = model.fit(x, x, callbacks=[callback], **options)
        ...     return fitted.epoch, int(model.optimizer.iterations)
        >>> train(epochs=2)
        ([0, 1], 16)
        >>> train(epochs=3)  # goes on with the third
        ([0, 1, 2], 24)

    Source: by definition

    Verified against: uninterrupted runs, with processes killed at random
    """

    needs_fit = needs_weights = True

    def __init__(
        self,
        directory: Folder,
        every: Every = "epoch",
        keep: PositiveInt = 3,
        on_signal: bool = True,
        verbose: Verbosity = 0,
    ):
        super().__init__()
        self.directory = directory
        self.every = every
        self.keep = keep
        self.on_signal = on_signal
        self.verbose = verbose
        self._clock = time.monotonic
        self._data: Any = None
        self._signalled = False
        self.resumed = False  # whether this `fit` resumed from a checkpoint

    # -- around `fit` -----------------------------------------------------------------------

    @contextmanager
    def around_fit(self, model: Any, callbacks: list[Any]) -> Iterator[list[Any]]:
        """Finds the checkpoint, wraps the data, and installs the signal handler."""
        needs_tensorflow("ResumableCheckpoint")
        peers = peers_of(model)
        run = f"{peers.same(uuid.uuid4().int >> 66):x}"
        self._files = Directory(
            self.directory, self.keep, peers.count, peers.index, run, check_checkpoint
        )
        self._files.prepare()
        with locked(self.directory, peers) as self._check_lock:
            self._files.clear()
            with self._resuming(model, callbacks, peers):
                yield [self._first, *self._others, self]

    @contextmanager
    def _resuming(self, model: keras.Model, callbacks: list[Any], peers: Any) -> Iterator[None]:
        """Reads the checkpoint, if there is one, and ends the writing on exit."""
        from keras_gdx.integration.data_position import DataPosition

        self._saved = self._files.read(peers.choose)
        self.resumed = self._saved is not None
        self._is_time = peers.poll(self._time_has_come)
        self._is_signalled = peers.poll(lambda: self._signalled)
        history = [c for c in callbacks if isinstance(c, keras.callbacks.History)]
        others = [c for c in callbacks if c is not self]
        self._others = [*others, *([] if history else [keras.callbacks.History()])]
        seed = peers.same(random.getrandbits(32))
        position = None
        if self._saved:
            seed, position = self._saved["seed"], self._saved["position"]
            memories = self._saved["callbacks"]
            callback_state.restore_ours(self._others, memories, self.directory)
        self._data, self._writer = DataPosition(seed, position), Writer()
        self._first = Remainder()
        self._signalled = False
        with self._data.of(model), self._listening():
            try:
                yield
            finally:
                self._files.give_up()
                self._writer.close()
                self._data = None

    @contextmanager
    def _listening(self) -> Iterator[None]:
        if not self.on_signal or threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(*_: Any) -> None:
            self._signalled = True

        before = signal.signal(signal.SIGTERM, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)
        if self._signalled:  # after the last batch: everything is saved
            raise SystemExit(EXIT_CODE)

    # -- hooks of `fit` ---------------------------------------------------------------------

    def on_train_begin(self, logs: Logs = None) -> None:
        """Restores the checkpoint, if there is one."""
        super().on_train_begin(logs)
        build_optimizer(self.model)
        self._epoch, self._done, self._due, self._saved_at = 0, 0, False, self._clock()
        self._settings = settings.settings_of(self.model)
        callback_state.warn_of_others(self._others)
        if not self._saved:
            return
        with snapshot.as_before_if_refused(self.model, self.directory):
            self._data.check(self.directory)
            self._bring_back(self._saved)
            self._tell_of_changes(self._saved)
        callback_state.restore_keras(self._others, self._saved["callbacks"])
        self._done = self._saved["step"]
        epoch = self._epoch = self._saved["epoch"]
        over = self._saved["stopped"] or epoch >= self.params["epochs"]
        begin_at(self.model, self.params["epochs"] if over else epoch)
        if self.verbose:
            where = "there is nothing to do" if over else f"going on after {self._done} batches"
            say(f"ResumableCheckpoint: {self.directory}: {where}, in epoch {epoch + 1}.")

    def _bring_back(self, saved: dict[str, Any]) -> None:
        """Restores the model, if necessary for another number of workers or replicas."""
        snapshot.build_as(self.model, saved["model"])
        here = snapshot.replica_count(self.model)
        there = snapshot.saved_replica_count(saved["model"])
        peers, writers = peers_of(self.model), self._files.writers
        if (writers, there) == (peers.count, here):
            snapshot.check_layout(snapshot.variables_of(self.model), saved["model"], self.directory)
            self._check_metrics(saved)
            snapshot.put(self.model, saved["model"])
            return
        parts, first = self._files.read_all(saved["step"]), peers.index == 0
        resize.put(self.model, [part["model"] for part in parts], first, self.directory)
        saved["metrics"] = resize.metrics(self.model, [part["metrics"] for part in parts], first)
        self._check_metrics(saved)
        saved["model"] = snapshot.take(self.model) | {"random": saved["model"]["random"]}
        self._data.forget_state()
        warnings.warn(
            f"The checkpoint in {self.directory} was saved by {writers} workers with {there} "
            f"replicas each, and this run has {peers.count} with {here}. It goes on as one device "
            "would, up to rounding, but not bit for bit, and dropout draws other masks.",
            stacklevel=2,
        )

    def _tell_of_changes(self, saved: dict[str, Any]) -> None:
        """Warns if the program sets something else than when the checkpoint was saved."""
        changed = [*settings.differences(saved["settings"], self._settings), *self._data.changes()]
        now = settings.settings_of(self.model)
        replaced = {path for path, *_ in settings.differences(self._settings, now)}
        restored = settings.kept_in_variables(self.model)
        ignored = [each for each in changed if each[0] in replaced]
        in_force = [each for each in changed if each[0].split(".")[-1] not in restored]
        found = []
        if in_force:
            found.append(f"{settings.described(in_force)}. Training goes on with what is set now.")
        if ignored:
            found.append(
                f"{settings.described(ignored)}. The checkpoint's value is used; to change it, "
                "assign it in a callback."
            )
        if found:
            warnings.warn(
                f"The program has changed since the checkpoint in {self.directory} was saved, so "
                f"it will not end as an uninterrupted run would: {' '.join(found)}",
                stacklevel=2,
            )

    def _check_metrics(self, saved: dict[str, Any]) -> None:
        if saved["position"]["batch"]:
            now = snapshot.metric_values(self.model)
            check_metrics(saved["metrics"], now, self.directory)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Restores random states and, in an interrupted epoch, the metrics."""
        super().on_epoch_begin(epoch, logs)
        self._epoch, self._batch = epoch, 0
        saved, self._saved = self._saved, None
        if saved:
            begin_at(self.model, 0)  # the initial epoch was set for this `fit` only
            restore_random_state(saved["model"]["random"])
            self._batch = saved["position"]["batch"]
            if self._batch:  # the epoch had begun: what callbacks do then is done already
                snapshot.put(self.model, saved["model"])
                snapshot.put_metrics(self.model, saved["metrics"])
                self._first.results = self.model.get_metrics_result()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Saves if a checkpoint is due; after an epoch's last batch `on_epoch_end` does it."""
        now = batches_until(batch, self.params)
        before, self._done = self._done, self._done + now - self._batch
        self._batch = now
        self._first.results = None
        self._writer.check()
        steps_are_over = self.parsed("every").after_steps(before, self._done)
        self._due = self._due or steps_are_over or self._is_time()
        if self._batch != self.params["steps"]:
            self._act(self._epoch, self._batch)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Saves if a checkpoint is due; all other callbacks have seen the end of the epoch."""
        self._epoch = epoch + 1
        self._due = self._due or self.parsed("every").after_epoch(epoch)
        self._act(self._epoch, None)

    def on_train_end(self, logs: Logs = None) -> None:
        """Saves the final state, and waits until it is written."""
        begin_at(self.model, 0)
        if self._saved is None:
            self._save(self._epoch, None)
        self._writer.wait()

    # -- saving -----------------------------------------------------------------------------

    def _time_has_come(self) -> bool:
        return bool(self.parsed("every").after_seconds(self._clock() - self._saved_at))

    def _act(self, epoch: int, batch: int | None) -> None:
        if self._due or self._is_signalled():
            self._save(epoch, batch)
        if self._is_signalled():
            self._writer.wait()
            raise SystemExit(EXIT_CODE)

    def _save(self, epoch: int, batch: int | None) -> None:
        self._check_lock()
        self._due, self._saved_at = False, self._clock()
        arrays: dict[str, Any] = {}
        content = pack(
            {
                "step": self._done,
                "epoch": epoch,
                "stopped": bool(self.model.stop_training) and batch is None,
                "seed": self._data.seed,
                "position": self._data.position(batch),
                "model": snapshot.take(self.model),
                "metrics": snapshot.metric_values(self.model),
                "callbacks": callback_state.states(self._others),
                "settings": self._settings,
            },
            arrays,
        )
        self._writer.submit(self._files.write, self._done, content, arrays)


class Remainder(keras.callbacks.Callback):
    """Fills the logs of an epoch that had no batch left after resuming; runs before all others."""

    results: Any = None

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Adds the metrics of the interrupted part of the epoch to the logs."""
        if self.results and logs is not None:
            logs.update({name: float(value) for name, value in self.results.items()})
