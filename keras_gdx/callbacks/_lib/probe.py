"""Reads losses and batches without affecting training."""

from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from typing import Any

import keras
import numpy as np

from keras_gdx.arguments import check
from keras_gdx.backends import backend
from keras_gdx.checkpoint import snapshot

__all__ = []


def batch_of(name: str, data: Any) -> tuple[Any, ...]:
    """Unpacks `data` to `(x, y, sample_weight)`; sample weights are optional.

    Raises:
        ValueError: If `data` is not a tuple of inputs and targets.
    """
    valid = isinstance(data, (list, tuple)) and len(data) in (2, 3) and data[1] is not None
    check(valid, name, data if data is None else type(data), "inputs and targets of one batch")
    return tuple(_each(np.asarray, part) for part in (*data, None)[:3])


def parts_of(batch: tuple[Any, ...], count: int) -> Iterator[tuple[Any, ...]]:
    """Splits the batch into `count` equal parts; drops the remainder."""
    size = len(keras.tree.flatten(batch[0])[0]) // count
    for place in range(count):
        here = slice(place * size, (place + 1) * size)
        yield tuple(_each(itemgetter(here), part) for part in batch)


def _each(fn: Callable[[Any], Any], part: Any) -> Any:
    return None if part is None else keras.tree.map_structure(fn, part)


class LossTotals:
    """Keras' running loss of the epoch: its total, and the count that divides it.

    Under a strategy these are summed over all replicas, so all workers must call it. A model with
    a custom train step must have a `keras.metrics.Mean(name="loss")` and update it.

    Args:
        model: A compiled model.
        asking: Name of the caller, for error messages.
    """

    def __init__(self, model: Any, asking: str):
        self._model = model
        self._asking = asking
        self._counted = False
        self._metrics = [m for m in model.metrics if m.name == "loss"]

    def __call__(self) -> list[float]:
        backend.sync(self._model)
        pairs = [[backend.number(v) for v in m.variables] for m in self._metrics]
        return [sum(each) for each in zip(*pairs, strict=True)] or [0.0, 0.0]

    def mean_since(self, before: Iterable[float]) -> float | None:
        """The mean loss since a call of this object returned `before`, or the totals were reset.

        Call it only after at least one batch: an equal count then shows that they were reset, as
        `LearningRateFinder` does before every batch.

        Returns:
            The mean, or `None` if `FaultGuard` has just reset the totals.

        Raises:
            ValueError: If no loss was ever counted.
        """
        now, then = self(), tuple(before)
        if now[1] <= then[1]:
            then = (0.0, 0.0)
        total, count = now[0] - then[0], now[1] - then[1]
        self._counted |= count > 0
        if count == 0 and self._counted:
            return None
        if count == 0:
            raise no_loss(self._model, self._asking)
        return float(total / count)


def no_loss(model: Any, asking: str) -> ValueError:
    """The error for a model whose train step logs no loss."""
    return ValueError(
        f"{asking} reads the metric `loss`, which the `train_step` of {type(model).__name__} does "
        'not update. Let the model have a `keras.metrics.Mean(name="loss")` as an attribute, and '
        "call its `update_state` in every step."
    )


class Untouched:
    """Context that restores the model's metrics on exit."""

    def __init__(self, model: Any):
        self.model = model

    def __enter__(self) -> None:
        self.values = snapshot.metric_values(self.model)

    def __exit__(self, *_: Any) -> None:
        snapshot.put_metrics(self.model, self.values)
