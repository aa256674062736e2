"""Base class of callbacks that measure the model periodically."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from keras_gdx.arguments import needs_tensorflow
from keras_gdx.callbacks._lib.amount import EveryCount
from keras_gdx.callbacks._lib.probe import Untouched, batch_of
from keras_gdx.callbacks.base import AtBatches, Logs

__all__ = []


class Looks(NamedTuple):
    """The state of a monitor.

    Attributes:
        step: Steps of the run so far.
        begin: Value of `step` when the current epoch began; `None` between epochs.
        history: One dictionary for each measurement.
    """

    step: int = 0
    begin: int | None = None
    history: Sequence[dict[str, Any]] = ()


class Monitor(AtBatches):
    """Base class of callbacks that measure the model on their own data.

    A subclass compiles the measurement in `_compile`, and runs it in `_measure`. Other batches are
    only counted.

    Args:
        data: Inputs and targets of one batch, and optionally sample weights.
        every: Steps (batches) between two measurements, or an amount such as `"1 epoch"`.
    """

    fresh = Looks()
    needs_weights = True

    def __init__(self, data: Sequence[Any], every: EveryCount):
        super().__init__()
        self._batch = batch_of("data", data)
        self.data = data
        self.every = every

    def _compile(self) -> Callable[..., Any]:
        """Returns a function of the batch."""
        raise NotImplementedError

    def _measure(self, compiled: Callable[..., Any]) -> dict[str, Any]:
        """Returns the results by name."""
        raise NotImplementedError

    @property
    def history(self) -> list[dict[str, Any]]:
        """The results so far, one dictionary per measurement."""
        return list(self.memory.history)

    def on_train_begin(self, logs: Logs = None) -> None:
        """Discards the compiled measurement; the first one compiles it again."""
        super().on_train_begin(logs)
        needs_tensorflow(type(self).__name__)
        self._compiled_for: list[int] | None = None

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Measures if `every` is over."""
        if self.count(batch):
            with Untouched(self.model):
                found = {"step": self.memory.step, **self._measure(self._compiled())}
            self.memory = self.memory._replace(history=(*self.memory.history, found))

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Writes the last measurement of the epoch to its logs."""
        last = self.memory.history[-1] if self.memory.history else {"step": 0}
        if logs is not None and last["step"] > self.memory.begin:
            logs.update(
                (name, value)
                for name, value in last.items()
                if name != "step" and not isinstance(value, dict)
            )
        super().on_epoch_end(epoch, logs)

    def _compiled(self) -> Callable[..., Any]:
        """The compiled measurement, recompiled if the set of trained weights changed."""
        variables = [id(v) for v in self.model.trainable_variables]
        if variables != self._compiled_for:
            self._compiled_for, self._program = variables, self._compile()
        return self._program
