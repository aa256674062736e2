"""Base classes of callbacks whose state can be saved and restored."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras

from keras_gdx.config import Configured
from keras_gdx.integration.model_attributes import peers_of
from keras_gdx.integration.stateful import Stateful

__all__ = ["Callback", "Stateful"]

Logs = dict[str, Any] | None


class Nothing(NamedTuple):
    """The memory of a callback without state."""


class Callback(Configured, keras.callbacks.Callback):
    """Base class of callbacks that can resume after an interruption.

    A subclass declares its initial state in `fresh`, an immutable value, and keeps the
    current state in `self.memory`; `state` and `restore` read and set it. Every `fit`
    starts from `fresh`, so one instance can serve many runs, with one exception: a
    restored state is kept until the first epoch begins. The next `fit` therefore resumes
    from it, whether `restore` is called before `fit` or in another callback's
    `on_train_begin`, in any order of the callbacks. To resume in the same process, call
    `callback.restore(callback.state())`.

    `__init__` stores every argument under its own name, and annotates it with its type, by
    which a wrong value is refused. A subclass that overrides `on_train_begin` or
    `on_epoch_begin` must call `super()`. Define a batch hook only if it is needed: a single
    callback with `on_train_batch_end` makes Keras read every batch's logs on the training
    thread, which waits for the device on JAX and PyTorch (on TensorFlow Keras always does).

    `findings` returns the results, which `TensorBoardScalars` and `TrainingReport` show.

    Attributes:
        fresh: NamedTuple, the state at the start of a run; its fields are JSON types or arrays.
        memory: NamedTuple of the same type, the current state.
        last: Whether `fit` moves this callback to the end of the list, because it reads what
            other callbacks write to the logs.
        writes: Whether it writes files, and so runs only on the chief of several workers.
        needs_fit: Whether it works only in Keras' `fit`, not in a custom loop.
        needs_weights: Whether `fit` must build the model from its data before callbacks begin.
        resumes_exactly: Whether a resumed run has the same state and logs as an uninterrupted
            one. Not so if it measures time or energy, or restores the model after `fit`.
        inside_fit: Whether Keras' `fit` is running with this callback.

    Example:
        >>> from typing import NamedTuple
        >>> class Count(NamedTuple):
        ...     epochs: int = 0
        >>> class Counter(Callback):
        ...     fresh = Count()
        ...     def on_epoch_end(self, epoch, logs=None):
        ...         self.memory = Count(self.memory.epochs + 1)
        >>> counter = Counter()
        >>> counter.on_epoch_end(0)
        >>> counter.state()
        {'epochs': 1}
        >>> another = Counter()
        >>> another.restore({'epochs': 7})
        >>> another.on_train_begin()
        >>> another.memory
        Count(epochs=7)
    """

    fresh: Any = Nothing()
    last = False
    writes = False
    needs_fit = False
    needs_weights = False
    resumes_exactly = True
    inside_fit = False

    def __init__(self) -> None:
        super().__init__()
        self.params: dict[str, Any] = {}  # stays empty in a `CallbackList` without them
        self.memory = self.fresh
        self._restored = False

    def state(self) -> dict[str, Any]:
        """Returns the state as a dictionary."""
        return dict(self.memory._asdict())

    def restore(self, state: dict[str, Any]) -> None:
        """Restores what `state` returned; the next epoch resumes from it.

        Args:
            state: Dictionary; missing names get their value from `fresh`.

        Raises:
            ValueError: If a name is unknown.
        """
        if unknown := sorted(state.keys() - {*self.fresh._fields}):
            raise ValueError(
                f"{type(self).__name__} does not remember {', '.join(unknown)}. "
                f"It remembers: {', '.join(self.fresh._fields) or 'nothing'}"
            )
        self.memory = self.fresh._replace(**state)
        self._restored = True

    def findings(self) -> Sequence[dict[str, Any]]:
        """Returns the results so far: rows of a table, each a dictionary.

        A row's `step`, if present, is the number of steps of the run when its numbers were
        measured; dictionaries may be nested. The default is the field `history` of `memory`.
        """
        history: Sequence[dict[str, Any]] = getattr(self.memory, "history", ())
        return history

    def on_train_begin(self, logs: Logs = None) -> None:
        """Resets the state, unless one was restored for this run.

        Raises:
            ValueError: If the callback needs Keras' `fit`, and was not passed to it.
        """
        if self.needs_fit and not self.inside_fit:
            raise ValueError(
                f"{type(self).__name__} works around Keras' own `fit`, which was not given it. "
                f"If {type(self.model).__name__} has a method `fit` of its own, that must hand "
                "its callbacks to `super().fit`."
            )
        if not self._restored:
            self.memory = self.fresh

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Makes the next `fit` start from `fresh` again, after a restored run."""
        self._restored = False


def batches_until(batch: int, params: dict[str, Any]) -> int:
    """Returns how many batches of the epoch are done after the one with this index.

    Keras counts the last execution of an epoch as full even if it had fewer batches. This is
    corrected if the length of the epoch is known, and cannot be otherwise.
    """
    return min(batch + 1, params.get("steps") or batch + 1)


class Counted(NamedTuple):
    """The state of a callback that counts.

    Attributes:
        step: Steps of the run so far; 0 if the callback does not need them.
        begin: Value of `step` when the current epoch began; `None` between epochs.
    """

    step: int = 0
    begin: int | None = None


class Counting(Callback):
    """Base class of callbacks that count steps, also with `steps_per_execution`.

    A step is a batch. Keras reports an execution by the index of its last batch. A subclass has
    the fields of `Counted` in its memory, and calls `advance` in its `on_train_batch_end`.
    """

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Stores the step at which the epoch begins, unless a resumed epoch already has one."""
        super().on_epoch_begin(epoch, logs)
        self._epoch = epoch
        if self.memory.begin is None:
            self.memory = self.memory._replace(begin=self.memory.step)

    def advance(self, batch: int) -> None:
        """Counts up to this batch."""
        self.memory = self.memory._replace(step=self._step_after(batch))

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Marks the epoch as complete."""
        super().on_epoch_end(epoch, logs)
        self.memory = self.memory._replace(begin=None)

    def steps_of(self, name: str) -> int:
        """The number of steps that an argument means.

        Raises:
            ValueError: If it is in epochs, and their number of batches is not known.
        """
        number, unit = self.parsed(name)
        if unit != "epochs":
            return int(number)
        per_epoch = self.params.get("steps")
        allowed = "in steps, or `fit` needs `steps_per_epoch`: the length of its data is unknown"
        self._check(per_epoch, name, getattr(self, name), allowed)
        return int(number * per_epoch)

    def _step_after(self, batch: int) -> int:
        return int(self.memory.begin) + batches_until(batch, self.params)


class Periodic(Counting):
    """Base class of callbacks that act whenever the amount in their argument `every` is over.

    A subclass calls `count` in its `on_train_batch_end`, which tells of steps and time. The end
    of an epoch is the business of `on_epoch_end`.
    """

    _clock = staticmethod(time.monotonic)

    def on_train_begin(self, logs: Logs = None) -> None:
        """Starts the clock."""
        super().on_train_begin(logs)
        self._acted_at = self._clock()
        self._is_time = self._time_is_over
        if self.parsed("every").unit == "seconds":
            self._is_time = peers_of(self.model).poll(self._time_is_over)

    def count(self, batch: int) -> bool:
        """Counts up to this batch; returns whether `every` is over."""
        due = self.reaches(batch) or self._is_time()
        if due:
            self._acted_at = self._clock()
        self.advance(batch)
        return due

    def reaches(self, batch: int) -> bool:
        """Whether counting up to this batch would complete the steps of `every`."""
        after = self._step_after(batch)
        return bool(self.parsed("every").after_steps(self.memory.step, after))

    def _time_is_over(self) -> bool:
        return bool(self.parsed("every").after_seconds(self._clock() - self._acted_at))


class AtBatches(Periodic):
    """Base class of callbacks that act at batches only.

    For them an epoch is over after its last batch, before validation.
    """

    def on_train_begin(self, logs: Logs = None) -> None:
        """Starts the clock.

        Raises:
            ValueError: If `every` is in epochs, and their number of batches is not known.
        """
        super().on_train_begin(logs)
        self.steps_of("every")

    def reaches(self, batch: int) -> bool:
        """Whether counting up to this batch would complete the steps or epochs of `every`."""
        is_last = batches_until(batch, self.params) == self.params.get("steps")
        over = is_last and self.parsed("every").after_epoch(self._epoch)
        return over or super().reaches(batch)


class if_needed:  # noqa: N801
    """Marks a batch hook that a callback has only while its `needs_batches` is true.

    Otherwise it has Keras' own, which Keras knows to do nothing: see `Callback` on batch hooks.
    """

    def __init__(self, hook: Callable[..., None]):
        self.hook = hook

    def __get__(self, callback: Any, owner: type) -> Any:
        if callback is None:
            return self
        default = getattr(keras.callbacks.Callback, self.hook.__name__)
        return (self.hook if callback.needs_batches else default).__get__(callback)
