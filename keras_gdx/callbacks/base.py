"""Base classes of callbacks whose state can be saved and restored."""

from typing import Any, NamedTuple

import keras

from keras_gdx.config import Configured
from keras_gdx.integration.stateful import Stateful

__all__ = ["Callback", "Stateful"]


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

    `__init__` stores every argument under its own name. A subclass that overrides
    `on_train_begin` or `on_epoch_begin` must call `super()`. Define a batch hook only if
    it is needed: a single callback with `on_train_batch_end` makes Keras read every
    batch's logs on the training thread, which waits for the device on JAX and PyTorch
    (on TensorFlow Keras always does).

    `findings` returns the results, which `TensorBoardScalars` and `TrainingReport` show.

    Attributes:
        fresh: NamedTuple, the state at the start of a run; its fields are JSON types or arrays.
        memory: NamedTuple of the same type, the current state.
        last: Whether `fit` moves this callback to the end of the list, because it reads what
            other callbacks write to the logs.
        writes: Whether it writes files, and so runs only on the chief of several workers.
        needs_fit: Whether it works only in Keras' `fit`, not in a custom loop.
        needs_weights: Whether `fit` must build the model from its data before callbacks begin.
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
    inside_fit = False

    def __init__(self):
        super().__init__()
        self.memory = self.fresh
        self._restored = False

    def state(self):
        """Returns the state as a dictionary."""
        return self.memory._asdict()

    def restore(self, state):
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

    def findings(self):
        """Returns the results so far: rows of a table, each a dictionary.

        A row's `step`, if present, is the number of batches of the run when its numbers were
        measured; dictionaries may be nested. The default is the field `history` of `memory`.
        """
        return getattr(self.memory, "history", ())

    def on_train_begin(self, logs=None):
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

    def on_epoch_begin(self, epoch, logs=None):
        """Makes the next `fit` start from `fresh` again, after a restored run."""
        self._restored = False


def batches_until(batch, params):
    """Returns how many batches of the epoch are done after the one with this index.

    Keras counts the last execution of an epoch as full even if it had fewer batches. This is
    corrected if the length of the epoch is known, and cannot be otherwise.
    """
    return min(batch + 1, params.get("steps") or batch + 1)


class Counting(Callback):
    """Base class of callbacks that act every `every` batches, also with `steps_per_execution`.

    Keras reports an execution by the index of its last batch. A subclass calls `count` in its
    `on_train_batch_end`, has an argument `every`, and two fields in its memory: `step`, batches
    of the run so far, and `begin`, the value of `step` when the current epoch began (`None`
    between epochs).
    """

    def on_epoch_begin(self, epoch, logs=None):
        """Stores the step at which the epoch begins, unless a resumed epoch already has one."""
        super().on_epoch_begin(epoch, logs)
        if self.memory.begin is None:
            self.memory = self.memory._replace(begin=self.memory.step)

    def count(self, batch):
        """Counts up to this batch; returns whether that reached a multiple of `every`."""
        reached = self.reaches(batch)
        self.memory = self.memory._replace(step=self._step_after(batch))
        return reached

    def reaches(self, batch):
        """Whether counting up to this batch would reach a multiple of `every`."""
        return self._step_after(batch) // self.every > self.memory.step // self.every

    def _step_after(self, batch):
        return self.memory.begin + batches_until(batch, self.params)

    def on_epoch_end(self, epoch, logs=None):
        """Marks the epoch as complete."""
        super().on_epoch_end(epoch, logs)
        self.memory = self.memory._replace(begin=None)
