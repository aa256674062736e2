"""Recovery from bad batches: returns to the last good training state and continues."""

import math
from collections.abc import Sequence
from statistics import median
from typing import Annotated, Any, NamedTuple

from annotated_types import Ge, Interval
from keras import ops
from keras.optimizers import LossScaleOptimizer

from keras_gdx.arguments import NonNegativeInt, PositiveFloat
from keras_gdx.backends import backend
from keras_gdx.callbacks._lib.amount import Every
from keras_gdx.callbacks._lib.argument_types import Folder, Verbosity
from keras_gdx.callbacks._lib.copies import InMemory, OnDisk
from keras_gdx.callbacks._lib.hyperparameters import number, rate_groups, set_rate
from keras_gdx.callbacks._lib.probe import LossTotals
from keras_gdx.callbacks._lib.say import say
from keras_gdx.callbacks.base import AtBatches, Logs
from keras_gdx.checkpoint import snapshot
from keras_gdx.integration.model_optimizers import all_optimizers, ours, window
from keras_gdx.registry import register

__all__ = ["FaultGuard"]

DEVIATION = 1.4826  # the standard deviation of a normal distribution, in median deviations
ENOUGH = 16  # losses needed to detect a spike


class Faults(NamedTuple):
    """The state of a `FaultGuard`.

    Attributes:
        step: Steps of the run so far.
        begin: Value of `step` when the current epoch began; `None` between epochs.
        losses: The last good losses.
        faults: One dictionary for each fault: `kind`, `epoch`, `batch`, `step`, `loss`,
            `back_to` (the step whose state was restored), `learning_rate` (after the fault).
    """

    step: int = 0
    begin: int | None = None
    losses: Sequence[float] = ()
    faults: Sequence[dict[str, Any]] = ()


@register
class FaultGuard(AtBatches):
    r"""Restores the last good state when the loss or the weights go bad.

    After every batch it checks the loss of that batch: NaN or infinity is a fault, and so is a
    spike, a loss with

    $$\ell > m + 1.4826 \cdot \mathtt{spike} \cdot \operatorname{median}_i |\ell_i - m|, \qquad
      m = \operatorname{median}_i \ell_i$$

    over the last `window` good losses $\ell_i$, of which there must be at least 16. Whenever
    `every` is over it checks that all weights are finite, and copies the training state. On a
    fault it restores the last copy (weights, statistics, optimizer and metrics), multiplies the
    learning rate by `factor` and continues with the next batch. What callbacks have set since the
    copy, such as a lower learning rate or masks, stays. The position in the data is not restored,
    so the bad batch is not repeated in this epoch. `faults` lists the bad batches.

    For bad gradients alone, the optimizers' `skip_nonfinite` is cheaper and loses only one
    update. Such a skipped update is recorded as a fault, too, but nothing is restored:
    `back_to` is the current step. With gradient accumulation the recorded batch is the one that
    closed the window.

    Args:
        every: Steps (batches) between two copies, or an amount such as `"1 epoch"` or
            `"10 minutes"`. A copy needs the memory of weights and optimizer state, and the time
            to copy them.
        spike: Number > 0, threshold of the formula above. `None`: any finite loss is good.
        window: Integer >= 16: number of good losses in the formula.
        factor: Number in (0, 1] that multiplies the learning rate after a fault.
        patience: Integer >= 0: number of faults tolerated. The next one ends training.
        directory: Path of a folder for the copies; `None` keeps them in memory. The folder has
            two copies, written in the background with checksums; a damaged one is skipped.
            Copies of earlier runs are deleted.
        verbose: 1 to print each fault, 0 to print nothing.

    Raises:
        ValueError: If an argument is out of range, or the model is not built.
        FloatingPointError: After `patience` faults. The model is in the last good state.
        OSError: If the directory cannot be written, or the disk is full.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import FaultGuard
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> x, callback = np.ones((64, 1)), FaultGuard(every="2 steps")
        >>> options = {"batch_size": 4, "shuffle": False, "verbose": 0, "callbacks": [callback]}
        >>> history = model.fit(x, x, **options)
        >>> callback.faults
        []
        >>> x[20] = np.inf
        >>> history = model.fit(x, x, **options)
        >>> [(each["kind"], each["batch"], each["back_to"]) for each in callback.faults]
        [('loss is nan', 5, 4)]
        >>> bool(np.isfinite(model.get_weights()[0]).all())
        True

    Source: by definition

    Verified against: runs without the bad batches
    """

    fresh = Faults()
    needs_weights = True

    def __init__(
        self,
        every: Every = 100,
        spike: PositiveFloat | None = 10.0,
        window: Annotated[int, Ge(ENOUGH)] = 64,
        factor: Annotated[float, Interval(gt=0, le=1)] = 1.0,
        patience: NonNegativeInt = 3,
        directory: Folder | None = None,
        verbose: Verbosity = 0,
    ):
        super().__init__()
        self.every = every
        self.spike = spike
        self.window = window
        self.factor = factor
        self.patience = patience
        self.directory = directory
        self.verbose = verbose
        self._copies: Any = None
        self._counted: Any = None

    @property
    def faults(self) -> list[dict[str, Any]]:
        """The faults so far, one dictionary each."""
        return list(self.memory.faults)

    def findings(self) -> Sequence[dict[str, Any]]:
        """Returns the faults."""
        return self.faults

    def on_train_begin(self, logs: Logs = None) -> None:
        """Checks that the model is built, and prepares the copies."""
        super().on_train_begin(logs)
        snapshot.require(self.model)
        self._totals = LossTotals(self.model, "FaultGuard")
        self._copies = InMemory() if self.directory is None else OnDisk(self.directory)
        scaled = any(isinstance(x, LossScaleOptimizer) for x in all_optimizers(self.model))
        skipping = [] if scaled else ours(self.model)  # loss scaling skips updates by design
        self._skipping = [x for x in skipping if getattr(x, "skip_nonfinite", False)]

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Restarts the loss totals, which Keras resets every epoch."""
        super().on_epoch_begin(epoch, logs)
        self._counted = None

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Makes the first copy, after a checkpoint was restored, and starts counting."""
        if self._counted is None:
            self._count_from_here()
        if self._copies.empty:
            self._copies.begin(self.memory.step)
            self._copy(self.memory.step)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Checks the batch, and restores the last good state after a fault."""
        done = self.memory.step
        copying = self.count(batch)
        loss, skipped = self._since(self.memory.step - done)
        kind = self._fault(loss)
        if kind is None and copying and not self._weights_are_finite():
            kind = "weights are not finite"
        if kind is not None:
            self._go_back(kind, loss, batch)
            return
        if skipped:
            self._note("gradient is not finite", loss, batch, self.memory.step)
        self.memory = self.memory._replace(losses=(*self.memory.losses, loss)[-self.window :])
        if copying:
            self._copy(self.memory.step)

    def on_train_end(self, logs: Logs = None) -> None:
        """Waits until copies are written."""
        self._copies.close()

    # -- judging ----------------------------------------------------------------------------

    def _count_from_here(self) -> None:
        self._counted = self._totals(), [updates_of(x) for x in self._skipping]

    def _since(self, batches: int) -> tuple[float, bool]:
        """The mean loss of the last `batches` batches, and whether an update was skipped."""
        totals, updates = self._counted
        loss = self._totals.mean_since(totals)
        loss = math.nan if loss is None else loss  # another guard has found a fault
        self._count_from_here()
        pairs = zip(self._skipping, updates, self._counted[1], strict=True)
        skipped = any(expected(x, then, batches) > now[0] for x, then, now in pairs)
        return loss, skipped

    def _fault(self, loss: float) -> str | None:
        if not math.isfinite(loss):
            return f"loss is {loss}"
        if self.spike is None or len(self.memory.losses) < ENOUGH:
            return None
        middle = median(self.memory.losses)
        deviation = DEVIATION * median([abs(each - middle) for each in self.memory.losses])
        return "spike" if loss - middle > self.spike * deviation > 0 else None

    def _weights_are_finite(self) -> bool:
        return all(bool(ops.all(ops.isfinite(v))) for v in self.model.trainable_variables)

    # -- copies -----------------------------------------------------------------------------

    def _copy(self, step: int) -> None:
        self._copies.put(
            {
                "step": step,
                "epoch": self._epoch,
                "model": snapshot.take(self.model),
                "metrics": snapshot.metric_values(self.model),
            }
        )

    def _go_back(self, kind: str, loss: float, batch: int) -> None:
        good = self._copies.get()
        snapshot.put(self.model, good["model"], random=False, settings=False)
        if good["epoch"] == self._epoch:
            snapshot.put_metrics(self.model, good["metrics"])
        else:
            self.model.reset_metrics()
        if self.factor < 1:
            for _, layers in rate_groups(self.model):
                now = number(layers[0].learning_rate, layers[0].iterations)
                set_rate(layers, now * self.factor)
        self._count_from_here()
        self._note(kind, loss, batch, good["step"])

    def _note(self, kind: str, loss: float, batch: int, back_to: int) -> None:
        optimizer = rate_groups(self.model)[0][1][0]
        rate = number(optimizer.learning_rate, optimizer.iterations)
        fault = {"kind": kind, "epoch": self._epoch, "batch": batch, "step": self.memory.step}
        fault |= {"loss": loss, "back_to": back_to, "learning_rate": rate}
        self.memory = self.memory._replace(faults=(*self.memory.faults, fault))
        text = f"epoch {self._epoch + 1}, batch {batch}: {kind} (loss {loss:.6g})"
        if len(self.memory.faults) > self.patience:
            self._copies.close()
            raise FloatingPointError(
                f"FaultGuard gives up after {len(self.memory.faults)} faults, the last in {text}. "
                "The model is in the last good state. Look at these batches, or lower the "
                "learning rate."
            )
        if self.verbose:
            say(f"\nFaultGuard: {text}; back to step {back_to}, learning rate {rate:.6g}.")


def updates_of(optimizer: Any) -> tuple[int, int]:
    """The number of updates of an optimizer, and of micro-batches accumulated for the next."""
    waiting = optimizer.state.count
    return backend.number(optimizer.iterations), 0 if waiting is None else backend.number(waiting)


def expected(optimizer: Any, before: tuple[int, int], batches: int) -> int:
    """The number of updates after `batches` more batches, if none is skipped."""
    made, waiting = before
    return int(made + (waiting + batches) // window(optimizer))
