"""A look at the model every so many batches."""

from typing import NamedTuple

from keras_gdx.callbacks._lib.probe import Untouched, batch_of
from keras_gdx.callbacks.base import Counting
from keras_gdx.config import check_integer, needs_tensorflow

__all__ = []


class Looks(NamedTuple):
    """What a monitor remembers.

    Attributes:
        step: Batches of the run so far.
        begin: What `step` was when the epoch under way began; `None` between epochs.
        history: What was found, one dictionary for each look.
    """

    step: int = 0
    begin: int | None = None
    history: tuple = ()


class Monitor(Counting):
    """Base class of callbacks that look at the model on data of their own.

    A subclass compiles what it looks with in `_compile`, and looks in `_look`. In between
    only batches are counted.

    Args:
        data: Inputs and targets of one batch, and perhaps their weights.
        every: Integer >= 1: batches between two looks.
    """

    fresh = Looks()
    needs_weights = True

    def __init__(self, data, every):
        super().__init__()
        check_integer("every", every, 1)
        self._batch = batch_of("data", data)
        self.data = data
        self.every = every

    def _compile(self):
        """Returns a function of the batch."""
        raise NotImplementedError

    def _look(self, compiled):
        """Returns what is found, by name."""
        raise NotImplementedError

    @property
    def history(self):
        """What was found, one dictionary for each look."""
        return list(self.memory.history)

    def on_train_begin(self, logs=None):
        """Compiles nothing yet: the first look does."""
        super().on_train_begin(logs)
        needs_tensorflow(type(self).__name__)
        self._compiled_for = None

    def on_train_batch_end(self, batch, logs=None):
        """Looks, if the time has come."""
        if self.count(batch):
            with Untouched(self.model):
                found = {"step": self.memory.step, **self._look(self._compiled())}
            self.memory = self.memory._replace(history=(*self.memory.history, found))

    def on_epoch_end(self, epoch, logs=None):
        """Writes the numbers of the epoch's last look into its logs."""
        last = self.memory.history[-1] if self.memory.history else {"step": 0}
        if logs is not None and last["step"] > self.memory.begin:
            logs.update(
                (name, value)
                for name, value in last.items()
                if name != "step" and not isinstance(value, dict)
            )
        super().on_epoch_end(epoch, logs)

    def _compiled(self):
        """What `_compile` returns, anew if other weights are trained than the last time."""
        variables = [id(v) for v in self.model.trainable_variables]
        if variables != self._compiled_for:
            self._compiled_for, self._program = variables, self._compile()
        return self._program
