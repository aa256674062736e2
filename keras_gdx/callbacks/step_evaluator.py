"""Validation within epochs."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from keras_gdx.arguments import NonNegativeFloat, check_name
from keras_gdx.callbacks._lib.amount import Every
from keras_gdx.callbacks._lib.argument_types import Mode
from keras_gdx.callbacks._lib.plateau import Plateau, mode_of, observe
from keras_gdx.callbacks._lib.probe import Untouched
from keras_gdx.callbacks.base import AtBatches, Logs
from keras_gdx.registry import register

__all__ = ["StepEvaluator"]


class Evaluations(NamedTuple):
    """The state of a `StepEvaluator`.

    Attributes:
        step: Steps of the run so far.
        begin: Value of `step` when the current epoch began; `None` between epochs.
        history: One dictionary for each evaluation: `step`, and what `evaluate` returned.
        best: Best value of the metric so far.
        wait: Evaluations since then without improvement.
    """

    step: int = 0
    begin: int | None = None
    history: Sequence[dict[str, Any]] = ()
    best: float | None = None
    wait: int = 0


@register
class StepEvaluator(AtBatches):
    """Evaluates the model whenever `every` is over; can stop training early.

    Use it when epochs are long. It calls `model.evaluate`, and so uses the optimizer's
    evaluation weights if it has any. The metrics of the current epoch are restored afterwards,
    bit for bit. `history` has the results.

    Args:
        validation_data: Dataset or other `x` of `evaluate`, or a pair of inputs and targets.
        every: Steps (batches) between two evaluations, counted across epochs, or an amount such
            as `"500 steps"`, `"1 epoch"` or `"10 minutes"`.
        monitor: Name of a metric that `evaluate` returns, such as `"loss"`.
        patience: Steps without improvement after which training stops, or an amount in the unit
            of `every`; rounded up to evaluations. `None`: it never stops.
        mode: `"min"`, `"max"`, or `"auto"` to infer it from the metric's name.
        min_delta: Number >= 0, the smallest change that is an improvement.
        **options: Other arguments of `evaluate`, such as `batch_size` or `steps`.

    Raises:
        ValueError: If an argument is out of range, or `mode="auto"` cannot be inferred from the
            metric's name; after the first evaluation, if there is no such metric.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import StepEvaluator
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> x = np.ones((64, 1))
        >>> callback = StepEvaluator((x, x), every="6 steps")
        >>> history = model.fit(x, x, batch_size=4, verbose=0, callbacks=[callback])
        >>> [each["step"] for each in callback.history]
        [6, 12]

    Source: by definition

    Verified against: `evaluate` at the same weights
    """

    fresh = Evaluations()

    def __init__(
        self,
        validation_data: Any,
        every: Every,
        monitor: str = "loss",
        patience: Every | None = None,
        mode: Mode = "auto",
        min_delta: NonNegativeFloat = 0.0,
        **options: Any,
    ):
        super().__init__()
        known = validation_data is not None
        self._check(known, "validation_data", validation_data, "data to evaluate on")
        self.validation_data = validation_data
        self.every = every
        self.monitor = monitor
        self.patience = patience
        self.mode = mode
        self.min_delta = min_delta
        self.options = options
        mode_of(monitor, mode, of=self)
        unit = self.parsed("every").unit
        same = patience is None or self.parsed("patience").unit == unit
        self._check(same, "patience", patience, f"in the unit of `every`, {unit}")

    @property
    def history(self) -> list[dict[str, Any]]:
        """The results so far, one dictionary per evaluation."""
        return list(self.memory.history)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Evaluates if `every` is over."""
        if self.count(batch):
            self._evaluate(self.memory.step)

    def _evaluate(self, step: int) -> None:
        pair = isinstance(self.validation_data, (list, tuple))
        data = self.validation_data if pair else (self.validation_data,)
        with Untouched(self.model):
            found = self.model.evaluate(*data, verbose=0, return_dict=True, **self.options)
        check_name("monitor", self.monitor, found, of=self)
        result = {"step": step, **{name: float(value) for name, value in found.items()}}
        self.memory = self.memory._replace(history=(*self.memory.history, result))
        if self.patience is not None:
            self._judge(result[self.monitor])

    def _judge(self, value: float) -> None:
        state, event = observe(
            Plateau(self.memory.best, self.memory.wait),
            value,
            mode=mode_of(self.monitor, self.mode),
            min_delta=self.min_delta,
            relative=False,
            patience=math.ceil(self.parsed("patience").number / self.parsed("every").number),
        )
        self.memory = self.memory._replace(best=state.best, wait=state.wait)
        if event == "plateau":
            self.model.stop_training = True
