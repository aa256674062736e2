"""Looks at the model that leave no trace in training."""

import keras
import numpy as np

from keras_gdx.backends import backend
from keras_gdx.checkpoint import snapshot
from keras_gdx.config import check

__all__ = []


def batch_of(name, data):
    """The `(x, y, sample_weight)` that `data` is; weights may be missing.

    Raises:
        ValueError: If it is no tuple of inputs and targets.
    """
    valid = isinstance(data, (list, tuple)) and len(data) in (2, 3) and data[1] is not None
    check(valid, name, data if data is None else type(data), "inputs and targets of one batch")
    return tuple(_each(np.asarray, part) for part in (*data, None)[:3])


def parts_of(batch, count):
    """The batch cut into so many equal parts; what is left over is left out."""
    size = len(keras.tree.flatten(batch[0])[0]) // count
    for place in range(count):
        here = slice(place * size, (place + 1) * size)
        yield tuple(_each(lambda x, here=here: x[here], part) for part in batch)


def _each(fn, part):
    return None if part is None else keras.tree.map_structure(fn, part)


class LossTotals:
    """The loss as Keras adds it up in an epoch: the sum, and what it will be divided by.

    Under a strategy those of all replicas; all workers must ask. A model with a train step of its
    own counts if it has a `keras.metrics.Mean(name="loss")` and updates that.

    Args:
        model: A compiled model.
        asking: The name of what asks, for the error.
    """

    def __init__(self, model, asking):
        self._model = model
        self._asking = asking
        self._metrics = [m for m in model.metrics if m.name == "loss"]

    def __call__(self):
        backend.sync(self._model)
        pairs = [[backend.number(v) for v in m.variables] for m in self._metrics]
        return [sum(each) for each in zip(*pairs, strict=True)] or [0.0, 0.0]

    def mean_since(self, before):
        """The mean loss since this returned `before`.

        Raises:
            ValueError: If nothing was counted.
        """
        total, count = (now - then for now, then in zip(self(), before, strict=True))
        if count == 0:
            name = type(self._model).__name__
            raise ValueError(
                f"{self._asking} reads the metric `loss`, which the `train_step` of {name} does "
                'not update. Let the model have a `keras.metrics.Mean(name="loss")` as an '
                "attribute, and call its `update_state` in every step."
            )
        return total / count


class Untouched:
    """Inside this context nothing is added to the model's metrics."""

    def __init__(self, model):
        self.model = model

    def __enter__(self):
        self.values = snapshot.metric_values(self.model)

    def __exit__(self, *_):
        snapshot.put_metrics(self.model, self.values)
