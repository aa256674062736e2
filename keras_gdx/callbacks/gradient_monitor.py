"""Norms of gradients, weights and updates, gradient noise, and dead units."""

import math
from collections import defaultdict

import keras
import numpy as np

from keras_gdx.backends import backend
from keras_gdx.callbacks._lib.monitor import Monitor
from keras_gdx.callbacks._lib.probe import parts_of
from keras_gdx.config import check, check_integer
from keras_gdx.engine.variables.structure import layer_paths, path_of, paths
from keras_gdx.registry import register

__all__ = ["GradientMonitor"]


@register
class GradientMonitor(Monitor):
    """Measures gradient, weight and update norms, gradient noise, and dead units.

    After every `every`-th batch, or the execution that contains it (`steps_per_execution`):

    - `gradient_norm`: norm of the gradient of the loss on `data`, computed in inference mode (no
      dropout, moving statistics), so that it depends on the weights only;
    - `weight_norm`: norm of all trainable weights;
    - `update_ratio`: norm of the change of the weights in that step, divided by `weight_norm`;
    - `noise_scale`: `trace(covariance) / |gradient|**2` over the examples of `data`, the batch
      size at which the noise is as large as the gradient. `data` has `B` examples in `parts` of
      `b` examples each; with `s`, the mean squared gradient norm of a part, and `S`, the squared
      gradient norm of all of `data`, it is estimated by

          trace = (s - S) / (1/b - 1/B),    |gradient|**2 = (B * S - b * s) / (B - b)

      NaN where the estimate of the squared norm is not positive: use more `data`.
    - `dead_units`: fraction of units that output exactly 0 at all positions of all examples in
      `data`. A unit is an entry of the last axis of the output of a hidden layer with a `relu` or
      `relu6` activation, or of a `ReLU` layer without slope, at any depth. The output layer is
      not counted, nor layers that run in a loop, such as the cell of an RNN. Missing if the model
      has no such layer.

    The results are written to the logs of the epoch. `history` has every measurement; its
    `layers` has the first three and `dead_units` for each layer, by path. A measurement is one
    call of a compiled function that computes `parts` gradients; other batches are only counted.

    Args:
        data: Inputs and targets of one batch, and optionally sample weights.
        every: Integer >= 1: batches between two measurements.
        parts: Integer >= 2, number of parts into which `data` is split to estimate the noise.

    Raises:
        ValueError: If an argument is out of range, or there are fewer examples than `parts`, or
            the backend is not TensorFlow.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import GradientMonitor
        >>> x = np.random.default_rng(0).normal(size=(64, 3))
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, name="out")])
        >>> model.compile("sgd", "mse")
        >>> watch = GradientMonitor((x, x[:, :1]), every=4)
        >>> history = model.fit(x, x[:, :1], batch_size=8, verbose=0, callbacks=[watch])
        >>> [x["step"] for x in watch.history], sorted(history.history)[:2]
        ([4, 8], ['gradient_norm', 'loss'])
        >>> sorted(watch.history[0]["layers"]["out"])
        ['gradient_norm', 'update_ratio', 'weight_norm']

    Source: 1812.06162 for the noise scale

    Verified against: gradients of each example by hand
    """

    def __init__(self, data, every=100, parts=8):
        super().__init__(data, every)
        check_integer("parts", parts, 2)
        self._examples = len(next(parts_of(self._batch, parts))[1])
        check(self._examples > 0, "parts", parts, "at most the number of examples in `data`")
        self.parts = parts

    def on_train_batch_begin(self, batch, logs=None):
        """Copies the weights before a step that will be measured."""
        if self.reaches(batch + self.model.steps_per_execution - 1):
            self._before = [backend.snapshot(v) for v in self.model.trainable_variables]

    def _compile(self):
        known = paths(self.model)
        found = [known.get(id(v)) or path_of(v) for v in self.model.trainable_variables]
        self._owners = [path.rpartition("/")[0] or self.model.name for path in found]
        watched = {p: layer for p, layer in layer_paths(self.model).items() if is_relu(layer)}
        from keras_gdx.integration.diagnostics import compiled_measurement  # needs TensorFlow

        return compiled_measurement(self.model, self.parts, watched)

    def _measure(self, compiled):
        found = compiled(self._batch, self._before)
        del self._before
        kinds = ("gradient", "weight", "moved")
        squares = np.array([found[kind] for kind in kinds])
        by_layer: dict = defaultdict(lambda: np.zeros(len(kinds)))
        for layer, numbers in zip(self._owners, squares.T, strict=True):
            by_layer[layer] += numbers
        whole = squares.sum(axis=1)
        measured = sizes(whole)
        measured["noise_scale"] = noise_scale(
            float(found["part"]), float(whole[0]), self._examples, self._examples * self.parts
        )
        layers = {layer: sizes(numbers) for layer, numbers in by_layer.items()}
        silent = {layer: np.asarray(units) for layer, units in found["silent"].items()}
        for layer, units in silent.items():
            layers.setdefault(layer, {})["dead_units"] = float(units.mean())
        if silent:
            measured["dead_units"] = float(np.concatenate([*silent.values()]).mean())
        return {**measured, "layers": layers}


def is_relu(layer):
    """Whether the layer's output is 0 for negative pre-activations."""
    if isinstance(layer, keras.layers.ReLU):
        return not layer.negative_slope
    return getattr(getattr(layer, "activation", None), "__name__", "") in ("relu", "relu6")


def sizes(squares):
    """Norms from their squares, and the update ratio."""
    gradient, weight, moved = (math.sqrt(x) for x in squares)
    ratio = moved / weight if weight else math.nan
    return {"gradient_norm": gradient, "weight_norm": weight, "update_ratio": ratio}


def noise_scale(small, large, few, many):
    """The noise scale, from squared gradient norms over `few` and over `many` examples.

    Example:
        >>> noise_scale(small=3.0, large=2.0, few=1, many=2)  # trace 2, squared norm 1
        2.0
    """
    trace = (small - large) / (1 / few - 1 / many)
    norm = (many * large - few * small) / (many - few)
    return float(trace / norm) if norm > 0 else math.nan
