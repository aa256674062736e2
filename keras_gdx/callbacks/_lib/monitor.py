"""Base class of callbacks that measure the model periodically."""

from typing import NamedTuple

from keras_gdx.callbacks._lib.probe import Untouched, batch_of
from keras_gdx.callbacks.base import Counting
from keras_gdx.config import check_integer, needs_tensorflow

__all__ = []


class Looks(NamedTuple):
    """The state of a monitor.

    Attributes:
        step: Batches of the run so far.
        begin: Value of `step` when the current epoch began; `None` between epochs.
        history: One dictionary for each measurement.
    """

    step: int = 0
    begin: int | None = None
    history: tuple = ()


class Monitor(Counting):
    """Base class of callbacks that measure the model on their own data.

    A subclass compiles the measurement in `_compile`, and runs it in `_measure`. Other batches are
    only counted.

    Args:
        data: Inputs and targets of one batch, and optionally sample weights.
        every: Integer >= 1: batches between two measurements.
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

    def _measure(self, compiled):
        """Returns the results by name."""
        raise NotImplementedError

    @property
    def history(self):
        """The results so far, one dictionary per measurement."""
        return list(self.memory.history)

    def on_train_begin(self, logs=None):
        """Discards the compiled measurement; the first one compiles it again."""
        super().on_train_begin(logs)
        needs_tensorflow(type(self).__name__)
        self._compiled_for = None

    def on_train_batch_end(self, batch, logs=None):
        """Measures if a multiple of `every` batches is reached."""
        if self.count(batch):
            with Untouched(self.model):
                found = {"step": self.memory.step, **self._measure(self._compiled())}
            self.memory = self.memory._replace(history=(*self.memory.history, found))

    def on_epoch_end(self, epoch, logs=None):
        """Writes the last measurement of the epoch to its logs."""
        last = self.memory.history[-1] if self.memory.history else {"step": 0}
        if logs is not None and last["step"] > self.memory.begin:
            logs.update(
                (name, value)
                for name, value in last.items()
                if name != "step" and not isinstance(value, dict)
            )
        super().on_epoch_end(epoch, logs)

    def _compiled(self):
        """The compiled measurement, recompiled if the set of trained weights changed."""
        variables = [id(v) for v in self.model.trainable_variables]
        if variables != self._compiled_for:
            self._compiled_for, self._program = variables, self._compile()
        return self._program
