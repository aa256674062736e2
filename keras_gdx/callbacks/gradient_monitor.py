"""How large gradients, weights and updates are, and how noisy."""

import math
from typing import NamedTuple

import numpy as np

from keras_gdx.callbacks.base import Callback
from keras_gdx.callbacks.probe import Untouched, batch_of, parts_of
from keras_gdx.config import check, check_integer, needs_tensorflow
from keras_gdx.engine import backend
from keras_gdx.registry import register

__all__ = ["GradientMonitor"]


class Looks(NamedTuple):
    """What the monitor remembers: the batches of the run so far, and what was found."""

    steps: int = 0
    history: tuple = ()


@register
class GradientMonitor(Callback):
    """Writes the sizes of gradient, weights and update, and the gradient's noise.

    After every `every`-th batch:

    - `gradient_norm`: of the loss of `data`, computed as in evaluation (no dropout, moving
      statistics), so that it changes with the weights only;
    - `weight_norm`: of all trainable weights;
    - `update_ratio`: the norm of what that batch has added to the weights, by `weight_norm`;
    - `noise_scale`: `trace(covariance) / |gradient|**2` over the examples of `data`, the batch
      size at which noise and gradient are alike. With `data` in `parts` of `b` examples each,
      `B` in all, from the squared norms `s` of the parts' gradients, on average, and `S` of the
      whole one:

          trace = (s - S) / (1/b - 1/B),    |gradient|**2 = (B * S - b * s) / (B - b)

      NaN where the estimate of the squared norm is not positive: more `data` is needed.

    All go into the logs of the epoch; `history` has every look. In between it only counts.

    Args:
        data: Inputs and targets of one batch, and perhaps their weights.
        every: Integer >= 1: batches between two looks.
        parts: Integer >= 2, in how many parts `data` is cut for the noise.

    Raises:
        ValueError: If an argument is out of range, or there are fewer examples than `parts`, or
            the backend is not TensorFlow.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import GradientMonitor
        >>> x = np.random.default_rng(0).normal(size=(64, 3))
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> watch = GradientMonitor((x, x[:, :1]), every=4)
        >>> history = model.fit(x, x[:, :1], batch_size=8, verbose=0, callbacks=[watch])
        >>> [look["step"] for look in watch.history], sorted(history.history)[:2]
        ([4, 8], ['gradient_norm', 'loss'])

    Source: 1812.06162 for the noise scale

    Verified against: gradients of each example by hand
    """

    fresh = Looks()

    def __init__(self, data, every=100, parts=8):
        super().__init__()
        check_integer("every", every, 1)
        check_integer("parts", parts, 2)
        self._batch = batch_of("data", data)
        self._examples = len(next(parts_of(self._batch, parts))[1])
        check(self._examples > 0, "parts", parts, "at most the number of examples in `data`")
        self.data = data
        self.every = every
        self.parts = parts

    @property
    def history(self):
        """What was found, one dictionary for each look."""
        return list(self.memory.history)

    def on_train_begin(self, logs=None):
        """Compiles nothing yet: the first look does."""
        super().on_train_begin(logs)
        needs_tensorflow("GradientMonitor")
        self._gradients = None

    def on_epoch_begin(self, epoch, logs=None):
        """What was found in this epoch is to come."""
        super().on_epoch_begin(epoch, logs)
        self._found = None

    def on_train_batch_begin(self, batch, logs=None):
        """Keeps the weights before a step that will be looked at."""
        if (self.memory.steps + 1) % self.every == 0:
            self._before = [backend.snapshot(v) for v in self.model.trainable_variables]

    def on_train_batch_end(self, batch, logs=None):
        """Looks, if the time has come."""
        self.memory = self.memory._replace(steps=self.memory.steps + 1)
        if self.memory.steps % self.every == 0:
            found = {"step": self.memory.steps, **self._look()}
            self.memory = self.memory._replace(history=(*self.memory.history, found))
            self._found = found

    def on_epoch_end(self, epoch, logs=None):
        """Writes the last look of the epoch into its logs."""
        if self._found and logs is not None:
            logs.update({name: value for name, value in self._found.items() if name != "step"})

    def _look(self):
        if self._gradients is None:
            self._gradients = backend.compiled_gradients(self.model)
        with Untouched(self.model):
            parts = [self._gradients(*part)[1] for part in parts_of(self._batch, self.parts)]
        whole = [sum(g) / self.parts for g in zip(*parts, strict=True)]
        weights = [backend.dense(v) for v in self.model.trainable_variables]
        moved = [now - then for now, then in zip(weights, self._before, strict=True)]
        del self._before
        weight = math.sqrt(square(weights))
        return {
            "gradient_norm": math.sqrt(square(whole)),
            "weight_norm": weight,
            "update_ratio": math.sqrt(square(moved)) / weight if weight else math.nan,
            "noise_scale": noise_scale(np.mean([square(p) for p in parts]), square(whole),
                                       self._examples, self._examples * self.parts),
        }  # fmt: skip


def square(tensors):
    """The sum of all squares."""
    return float(sum(np.sum(np.square(np.asarray(x, "float64"))) for x in tensors))


def noise_scale(small, large, few, many):
    """The noise scale from squared norms of gradients over `few` and over `many` examples.

    Example:
        >>> noise_scale(small=3.0, large=2.0, few=1, many=2)  # trace 2, squared norm 1
        2.0
    """
    trace = (small - large) / (1 / few - 1 / many)
    norm = (many * large - few * small) / (many - few)
    return float(trace / norm) if norm > 0 else math.nan
