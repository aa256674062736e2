"""Changes the learning rate when a metric stops improving, or keeps improving."""

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, NamedTuple

from annotated_types import Gt, Interval

from keras_gdx.advice import nearest
from keras_gdx.arguments import NonNegativeFloat, NonNegativeInt, PositiveFloat
from keras_gdx.callbacks._lib.amount import EveryCount
from keras_gdx.callbacks._lib.argument_types import Mode, Verbosity
from keras_gdx.callbacks._lib.hyperparameters import (
    check_rates,
    hyperparameters,
    number,
    rate_groups,
    set_rate,
)
from keras_gdx.callbacks._lib.plateau import mode_of, observe
from keras_gdx.callbacks._lib.probe import LossTotals
from keras_gdx.callbacks._lib.say import say
from keras_gdx.callbacks.base import Logs, Periodic, if_needed
from keras_gdx.checkpoint import snapshot
from keras_gdx.registry import register

__all__ = ["PlateauController"]

VALIDATE = (
    " Give `fit` validation data; if only the first epochs have no validation, let "
    "`start_from_epoch` be the one that has."
)


class Control(NamedTuple):
    """The state of a `PlateauController`.

    Attributes:
        best: Best value so far; `None` before the first one.
        wait: Values without improvement since then.
        cooldown: Remaining values that do not count.
        streak: Improvements in a row.
        observed: Number of values so far.
        changes: One dictionary for each change of the rate.
        step: Steps of the run so far, if `every` is in steps.
        begin: Value of `step` when the current epoch began; `None` between epochs.
        offset: Added to Keras' running loss totals, gives the totals since the last value.
        kept: Training state at the best value, with `rollback`.
    """

    best: float | None = None
    wait: int = 0
    cooldown: int = 0
    streak: int = 0
    observed: int = 0
    changes: Sequence[dict[str, Any]] = ()
    step: int = 0
    begin: int | None = None
    offset: Sequence[float] = (0.0, 0.0)
    kept: dict[str, Any] | None = None


@register
class PlateauController(Periodic):
    """Lowers the learning rate when a metric stops improving; can also raise it.

    After `patience` values without improvement the rate is multiplied by `factor`; with
    `rise`, it is multiplied by that after `patience` improvements in a row. A value is the
    metric of an epoch or, for example with `every="200 steps"`, the mean loss of the last 200
    steps (batches).
    With the optimizers of this package this works on top of any schedule: the rest of the
    schedule is rescaled to pass through the new value and keeps its shape. Keras' own
    optimizers need a number as learning rate; with a schedule, their rate cannot be set.
    The optimizers of a `MultiOptimizer` are treated separately. The epoch's logs have its
    rate as `learning_rate`; `changes` lists every change.

    Args:
        monitor: Name of the metric in the logs, such as `"val_loss"` or `"accuracy"`.
        factor: Number in (0, 1) that multiplies the rate on a plateau.
        patience: Integer >= 0, values without improvement that make a plateau; 0
            and 1 both act on the first.
        mode: `"min"` if lower is better, `"max"` if higher is better, `"auto"` to infer it
            from the metric's name.
        min_delta: Number >= 0, the smallest change that is an improvement.
        relative: Whether `min_delta` is a fraction of the best value so far; if false, it is
            in the units of the metric.
        cooldown: Integer >= 0, values after a change that count neither as lack of improvement
            nor towards a rise.
        min_learning_rate: Number >= 0, the lowest rate that a change can set; a schedule can
            still go below it.
        start_from_epoch: Integer >= 0, the first epoch that is observed, counted from 0. Use it
            to exclude warmup.
        every: `"epoch"`, or `"2 epochs"` for the metric of every second epoch; or an amount such
            as `"200 steps"`, or a number of steps: steps per value, counted across epochs, for
            which `monitor` must be `"loss"`.
        rise: Number > 1 that multiplies the rate while the metric improves, or `None`.
        max_learning_rate: Number > 0, the highest rate that a change can set, greater than
            `min_learning_rate`, or `None`.
        rollback: Whether a plateau restores weights, statistics and optimizer state from the
            best value. The update count and learning rates are not restored: schedules
            continue. Needs memory for another copy of weights and optimizer state.
        stop: Whether a plateau at `min_learning_rate`, which then must be > 0, ends training.
        verbose: 1 to print each change, 0 to print nothing.

    Raises:
        ValueError: If an argument is out of range, or `mode="auto"` cannot be inferred from the
            metric's name; when training begins, or at the first plateau, if the learning rate
            cannot be set, or if the model is not built and `rollback`; after the first epoch
            observed, if its logs lack the metric. Later epochs without it, as with
            `validation_freq`, are skipped.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import PlateauController
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.5), "mse")
        >>> x = np.zeros((4, 1))  # nothing to learn: the loss is 0 from the start
        >>> callback = PlateauController("loss", patience=2)
        >>> history = model.fit(x, x, epochs=5, verbose=0, callbacks=[callback])
        >>> history.history["learning_rate"]
        [0.5, 0.5, 0.5, 0.25, 0.25]
        >>> callback.changes[0]
        {'kind': 'plateau', 'epoch': 2, 'loss': 0.0, 'best': 0.0, 'learning_rate': 0.25}

    Source: the rule of PyTorch's `ReduceLROnPlateau`, whose `patience` is one less; rising as
        in arXiv:2512.14527

    Verified against: recorded decisions of torch.optim.lr_scheduler.ReduceLROnPlateau.
    """

    fresh = Control()

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        factor: Annotated[float, Interval(gt=0, lt=1)] = 0.5,
        patience: NonNegativeInt = 5,
        mode: Mode = "auto",
        min_delta: NonNegativeFloat = 1e-4,
        relative: bool = True,
        cooldown: NonNegativeInt = 0,
        min_learning_rate: NonNegativeFloat = 0.0,
        start_from_epoch: NonNegativeInt = 0,
        every: EveryCount = "epoch",
        rise: Annotated[float, Gt(1)] | None = None,
        max_learning_rate: PositiveFloat | None = None,
        rollback: bool = False,
        stop: bool = False,
        verbose: Verbosity = 0,
    ):
        super().__init__()
        self.monitor = monitor
        self.factor = factor
        self.patience = patience
        self.mode = mode
        self.min_delta = min_delta
        self.relative = relative
        self.cooldown = cooldown
        self.min_learning_rate = min_learning_rate
        self.start_from_epoch = start_from_epoch
        self.every = every
        self.rise = rise
        self.max_learning_rate = max_learning_rate
        self.rollback = self.needs_weights = rollback
        self.stop = stop
        self.verbose = verbose
        self._check_together()

    def _check_together(self) -> None:
        mode_of(self.monitor, self.mode, of=self)
        if self.needs_batches:
            self._check(
                self.monitor == "loss", "monitor", self.monitor, "'loss', with `every` in steps"
            )
        low, high = self.min_learning_rate, self.max_learning_rate
        self._check(high is None or high > low, "max_learning_rate", high, f"more than {low}")
        self._check(low > 0 or not self.stop, "min_learning_rate", low, "> 0 with `stop`")

    @property
    def needs_batches(self) -> bool:
        return bool(self.parsed("every").unit == "steps")

    @property
    def changes(self) -> list[dict[str, Any]]:
        """The changes so far, one dictionary each."""
        return list(self.memory.changes)

    def findings(self) -> Sequence[dict[str, Any]]:
        """Returns the changes."""
        return self.changes

    # -- hooks of `fit` ---------------------------------------------------------------------

    def on_train_begin(self, logs: Logs = None) -> None:
        """Checks that the learning rate can be changed."""
        super().on_train_begin(logs)
        check_rates(self.model)
        if self.rollback:
            snapshot.require(self.model)
        if self.needs_batches:
            self._totals = LossTotals(self.model, type(self).__name__)

    @if_needed
    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Observes the mean loss if `every` is over."""
        if self.count(batch):
            loss = self._loss_since()
            if loss is not None and self._epoch >= self.start_from_epoch:
                self._observe(loss)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Observes the metric and changes the rate if necessary."""
        logs, self._epoch = {} if logs is None else logs, epoch
        rates = hyperparameters(self.model, ("learning_rate",))
        if self.needs_batches:
            self._carry()
        elif epoch >= self.start_from_epoch and self._is_due(epoch, logs):
            self._observe(float(logs[self.monitor]))
        logs.update(rates)
        super().on_epoch_end(epoch, logs)

    def _is_due(self, epoch: int, logs: dict[str, Any]) -> bool:
        if not self.parsed("every").after_epoch(epoch):
            return False
        if self.monitor not in logs and not self.memory.observed:
            validates = self.monitor.startswith("val_")
            allowed = f"in the logs, which have {', '.join(sorted(logs)) or 'nothing'}"
            known = [name for name in logs if name.startswith("val_") == validates]
            advice = nearest(self.monitor, known) or VALIDATE * validates
            self._check(False, "monitor", self.monitor, allowed, advice)
        return self.monitor in logs

    # -- the loss of `every` steps ----------------------------------------------------------

    def _loss_since(self) -> float | None:
        """The mean loss since the last value; `None` if a fault was just undone."""
        loss = self._totals.mean_since([-o for o in self.memory.offset])
        self.memory = self.memory._replace(offset=_finite(-n for n in self._totals()))
        return loss

    def _carry(self) -> None:
        """Carries the steps since the last value over: Keras resets its totals every epoch."""
        pairs = zip(self._totals(), self.memory.offset, strict=True)
        self.memory = self.memory._replace(offset=_finite(n + o for n, o in pairs))

    # -- decisions --------------------------------------------------------------------------

    def _rule(self) -> dict[str, Any]:
        return {
            "mode": mode_of(self.monitor, self.mode),
            "min_delta": self.min_delta,
            "relative": self.relative,
            "patience": self.patience,
            "cooldown": self.cooldown,
            "rises": self.rise is not None,
        }

    def _observe(self, value: float) -> None:
        state, verdict = observe(self.memory, value, **self._rule())
        self.memory = state._replace(observed=state.observed + 1)
        if verdict == "plateau":
            if self.rollback and self.memory.kept:
                snapshot.put(
                    self.model, self.memory.kept, random=False, counts=False, settings=False
                )
            changed = self._change(self.factor)
            if self.stop and not changed:
                self.model.stop_training = True
            if changed or self.stop:
                self._note("plateau", value, "has not improved on")
        elif verdict and self.rollback:
            kept = snapshot.take(self.model)
            del kept["random"]
            self.memory = self.memory._replace(kept=kept)
        if verdict == "rise" and self.rise and self._change(self.rise):
            self._note("rise", value, f"has improved {max(self.patience, 1)} times, to")

    def _change(self, factor: float) -> bool:
        """Multiplies the rates, within their limits; returns whether any changed."""
        changed = False
        for _, layers in rate_groups(self.model):
            rate = number(layers[0].learning_rate, layers[0].iterations)
            if factor < 1:
                new = min(rate, max(rate * factor, self.min_learning_rate))
            else:
                new = max(rate, min(rate * factor, self.max_learning_rate or math.inf))
            if new != rate:
                set_rate(layers, new)
                changed = True
        return changed

    def _note(self, kind: str, value: float, what: str) -> None:
        rates = hyperparameters(self.model, ("learning_rate",))
        place = {"epoch": self._epoch}
        if self.needs_batches:
            place |= {"step": self.memory.step}
        change = {"kind": kind, **place, self.monitor: value, "best": self.memory.best, **rates}
        self.memory = self.memory._replace(changes=(*self.memory.changes, change))
        if self.verbose:
            where = ", ".join(f"{name} {n + (name == 'epoch')}" for name, n in place.items())
            shown = ", ".join(f"{name} becomes {rate:.6g}" for name, rate in rates.items())
            end = " Training stops." if self.model.stop_training else ""
            say(f"\n{where.capitalize()}: {self.monitor} {what} {self.memory.best}, {shown}.{end}")


def _finite(pair: Iterable[float]) -> Sequence[float]:
    """The pair, or zeros if it is not finite."""
    pair = tuple(pair)
    return pair if all(map(math.isfinite, pair)) else (0.0, 0.0)
