"""What a callback remembers, and how that survives an interruption."""

from typing import Any, NamedTuple

import keras

from keras_gdx.config import Configured
from keras_gdx.integration.stateful import Stateful

__all__ = ["Callback", "Stateful"]


class Nothing(NamedTuple):
    """The memory of a callback that has none."""


class Callback(Configured, keras.callbacks.Callback):
    """Base class of callbacks that go on where they were interrupted.

    A subclass names what it remembers in `fresh`, an immutable value, and keeps the
    present one in `self.memory`; `state` and `restore` follow from that. Every `fit`
    starts from `fresh`, so that an instance may serve many runs, with one exception:
    a restored memory stays until an epoch begins. So `restore` before `fit` goes on
    from there, once, and so does `restore` in another callback's `on_train_begin`,
    whichever of the two stands first in the list. To go on in the same process,
    say so: `callback.restore(callback.state())`.

    Its arguments are its configuration, stored under their own names by `__init__`.
    A subclass that has an `on_train_begin` or `on_epoch_begin` of its own calls
    `super()`'s. It has a batch hook only if it has work there: one callback with
    `on_train_batch_end` is enough for Keras to read every batch's logs on the training
    thread, which on JAX and PyTorch waits for the device (on TensorFlow Keras always
    does).

    What it finds it gives in `findings`: `TensorBoardScalars` and `TrainingReport` take it from
    there.

    Attributes:
        fresh: NamedTuple that a run begins with; fields hold JSON's types, or arrays.
        memory: NamedTuple of the same type, what is remembered now.
        last: Whether `fit` puts it behind the others in the list, because it tells of what they
            have written into the logs.
        writes: Whether it writes files, and so runs on the chief only where there are several
            workers.
        needs_fit: Whether it works around Keras' `fit`, and not in a loop of one's own.
        needs_weights: Whether `fit` builds the model before callbacks begin, from its data.
        inside_fit: Whether Keras' `fit` is running and knows this callback.

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
        """Returns what is remembered, by name."""
        return self.memory._asdict()

    def restore(self, state):
        """Takes back what `state` returned; the next epoch goes on from it.

        Args:
            state: Dictionary; names that it lacks keep the value of a fresh run.

        Raises:
            ValueError: If a name in it is unknown.
        """
        if unknown := sorted(state.keys() - {*self.fresh._fields}):
            raise ValueError(
                f"{type(self).__name__} does not remember {', '.join(unknown)}. "
                f"It remembers: {', '.join(self.fresh._fields) or 'nothing'}"
            )
        self.memory = self.fresh._replace(**state)
        self._restored = True

    def findings(self):
        """Returns what was found so far: rows of a table, each a dictionary.

        A row with `step`, batches of the run so far, has found its numbers there; they may be
        in dictionaries inside of it. By default the rows are the field `history` of the memory.
        """
        return getattr(self.memory, "history", ())

    def on_train_begin(self, logs=None):
        """Forgets the run before, unless a memory was restored for this one.

        Raises:
            ValueError: If the callback works around Keras' `fit`, and that does not know of it.
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
        """From here on, a restored memory is like any other."""
        self._restored = False


def batches_until(batch, params):
    """Returns how many batches of the epoch are done after the one with this index.

    Keras counts the last execution of an epoch as if it were full. Where the length of the
    epoch is not known beforehand, nothing shows that it was not.
    """
    return min(batch + 1, params.get("steps") or batch + 1)


class Counting(Callback):
    """Base class of callbacks that count batches, several of which may be one execution.

    Keras tells of an execution by the index of its last batch. A subclass calls `count` in its
    `on_train_batch_end`. Its memory has `step`, batches of the run so far, and `begin`, what
    `step` was when the epoch under way began: `None` between epochs. Its argument `every` says
    of what it counts multiples.
    """

    def on_epoch_begin(self, epoch, logs=None):
        """Remembers where the epoch begins, unless it was interrupted and goes on."""
        super().on_epoch_begin(epoch, logs)
        if self.memory.begin is None:
            self.memory = self.memory._replace(begin=self.memory.step)

    def count(self, batch):
        """Counts up to this batch; returns whether a multiple of `every` was reached on the way."""
        reached = self.reaches(batch)
        self.memory = self.memory._replace(step=self._step_after(batch))
        return reached

    def reaches(self, batch):
        """Whether a multiple of `every` comes between what is counted and the end of this batch."""
        return self._step_after(batch) // self.every > self.memory.step // self.every

    def _step_after(self, batch):
        return self.memory.begin + batches_until(batch, self.params)

    def on_epoch_end(self, epoch, logs=None):
        """The next epoch begins here."""
        super().on_epoch_end(epoch, logs)
        self.memory = self.memory._replace(begin=None)
