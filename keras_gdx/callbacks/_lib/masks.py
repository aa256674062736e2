"""Base classes of callbacks that prune weights during training."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_gdx.arguments import needs_tensorflow
from keras_gdx.callbacks._lib.amount import EveryCount, Moment
from keras_gdx.callbacks._lib.argument_types import Pattern
from keras_gdx.callbacks.base import AtBatches, Logs
from keras_gdx.engine.variables.masks import Masked, mask_of
from keras_gdx.engine.variables.structure import VECTORS, select
from keras_gdx.integration.model_optimizers import all_optimizers, ours

__all__ = []


class Pruned(NamedTuple):
    """The state of a pruning callback.

    Attributes:
        step: Steps of the run so far.
        begin: Value of `step` when the current epoch began; `None` between epochs.
        kept: For each variable its mask, and any other state of its constraint.
    """

    step: int = 0
    begin: int | None = None
    kept: Sequence[Any] = ()


class Pruning(AtBatches):
    """Base class: selects variables, schedules mask updates, and saves the masks.

    A subclass computes new masks in `mask_of`, and declares its arguments with the types here.
    """

    fresh = Pruned()
    needs_fit = needs_weights = True
    constraint: Any = Masked

    def __init__(
        self,
        begin: Moment,
        end: Moment,
        every: EveryCount,
        include: Pattern | None,
        exclude: Pattern | None,
    ):
        super().__init__()
        self.begin = begin
        self.end = end
        self.every = every
        self.include = include
        self.exclude = exclude
        self._masked: list[tuple[Any, Any]] = []
        first, last = self.parsed("begin"), self.parsed("end")
        self._check(
            first.unit != last.unit or first < last, "end", end, f"more than `begin`, {begin!r}"
        )

    def on_train_begin(self, logs: Logs = None) -> None:
        """Converts `begin` and `end` to steps."""
        super().on_train_begin(logs)
        self._first, self._last = self.steps_of("begin"), self.steps_of("end")
        self._check(self._first < self._last, "end", self.end, f"more than `begin`, {self.begin!r}")

    @property
    def sparsity_now(self) -> float:
        """The fraction of masked variables' weights that is zero."""
        masks = [ops.convert_to_numpy(c.mask) for _, c in self._masked]
        return float(1 - sum(m.sum(dtype=int) for m in masks) / sum(m.size for m in masks))

    def on_weights(self, model: Any) -> None:
        """Installs the constraints, before the optimizer is built and steps are compiled."""
        needs_tensorflow(type(self).__name__)
        usual = {id(v) for v in model.trainable_variables if len(v.shape) > 1}
        usual -= {id(v) for v in model.trainable_variables if v.name in VECTORS}
        chosen = select(model.trainable_variables, self.include, self.exclude, usual)
        without = [v for v in chosen if type(v.constraint) is not self.constraint]
        self._refuse_late_use(model, without)
        with model.distribute_strategy.scope():
            for variable in without:
                variable.constraint = self.constraint(variable)
        if without:
            model.train_function = None
        self._masked = [(v, v.constraint) for v in chosen]

    def _refuse_late_use(self, model: Any, variables: list[Any]) -> None:
        """Raises `ValueError` if updates without the new constraints are planned or compiled."""
        from keras_gdx.integration.own_step import in_own_step  # TensorFlow, only now

        name = type(self).__name__
        only_mask = self.constraint is Masked  # which is no part of the plan of an update
        planned = [v for v in variables if not only_mask or mask_of(v) is not None]
        if planned and any(x.built for x in ours(model)):
            raise ValueError(
                f"{name} must be there when the optimizer is built, usually in the first `fit` "
                f"after `compile`: this one is built without its constraints on {planned[0].path}. "
                "Compile the model again, and leave `build` to `fit`."
            )
        if variables and in_own_step(model) and any(x.built for x in all_optimizers(model)):
            raise ValueError(
                f"{name} must be there before the first step: this one may be compiled without "
                f"its mask of {variables[0].path}, and only `fit` can compile a step again. "
                "Compile the model with a new optimizer, and make the step anew."
            )

    def state(self) -> dict[str, Any]:
        """Returns the state as a dictionary, including the masks."""
        kept = [[ops.convert_to_numpy(x) for x in c.variables] for _, c in self._masked]
        return dict(self.memory._replace(kept=kept or self.memory.kept)._asdict())

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Starts with all weights, or with restored masks."""
        if self.memory.step == 0:
            for variable, constraint in self._masked:
                constraint.begin(variable)
        elif self._restored:
            for (_, constraint), saved in zip(self._masked, self.memory.kept, strict=True):
                for variable, value in zip(constraint.variables, saved, strict=True):
                    variable.assign(value)
        super().on_epoch_begin(epoch, logs)
        self.memory = self.memory._replace(kept=())

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Updates the masks when due."""
        done = self.memory.step
        due = self.count(batch)
        step = self.memory.step
        due = due and self._first <= step <= self._last
        if due or done < self._last <= step:
            for variable, constraint in self._masked:
                w = np.asarray(
                    ops.convert_to_numpy(self.weights_of(variable, constraint)), "float32"
                )
                mask = ops.convert_to_numpy(constraint.mask).astype(bool)
                constraint.renew(variable, self.mask_of(w, mask, step).astype("uint8"))

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Writes the sparsity to the logs."""
        super().on_epoch_end(epoch, logs)
        if logs is not None:
            logs["sparsity"] = self.sparsity_now

    def weights_of(self, variable: Any, constraint: Any) -> Any:
        """The weights from which `mask_of` computes the mask."""
        return variable

    def mask_of(self, weights: np.ndarray, mask: np.ndarray, step: int) -> np.ndarray:
        """Returns the new mask, an array of booleans."""
        raise NotImplementedError
