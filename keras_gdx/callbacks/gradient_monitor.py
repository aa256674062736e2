"""How large gradients, weights and updates are, and how noisy."""

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
    """Writes the sizes of gradient, weights and update, noise, and dead units.

    After every `every`-th batch, or the execution with it if several batches are one:

    - `gradient_norm`: of the loss of `data`, computed as in evaluation (no dropout, moving
      statistics), so that it changes with the weights only;
    - `weight_norm`: of all trainable weights;
    - `update_ratio`: the norm of what that step has added to the weights, by `weight_norm`;
    - `noise_scale`: `trace(covariance) / |gradient|**2` over the examples of `data`, the batch
      size at which noise and gradient are alike. With `data` in `parts` of `b` examples each,
      `B` in all, from the squared norms `s` of the parts' gradients, on average, and `S` of the
      whole one:

          trace = (s - S) / (1/b - 1/B),    |gradient|**2 = (B * S - b * s) / (B - b)

      NaN where the estimate of the squared norm is not positive: more `data` is needed.
    - `dead_units`: the fraction of units that answer with exactly 0 to all of `data`, at all
      places. Units are the entries of the last axis of what comes out of hidden layers with a
      `relu` or `relu6`: layers that have it as `activation`, and `ReLU` without slope, at any
      depth, other than those whose output is the model's. What runs inside of a loop, such as
      the cell of an RNN, is left out. Missing where the model has no such layer.

    These go into the logs of the epoch. `history` has every look, with `layers`: the first
    three and `dead_units` of each layer, by its path. A look is one call of one compiled
    function, with as many gradients as `parts`; in between batches are counted and no more.

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
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, name="out")])
        >>> model.compile("sgd", "mse")
        >>> watch = GradientMonitor((x, x[:, :1]), every=4)
        >>> history = model.fit(x, x[:, :1], batch_size=8, verbose=0, callbacks=[watch])
        >>> [look["step"] for look in watch.history], sorted(history.history)[:2]
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
        """Keeps the weights before a step that will be looked at."""
        if self.reaches(batch + self.model.steps_per_execution - 1):
            self._before = [backend.snapshot(v) for v in self.model.trainable_variables]

    def _compile(self):
        known = paths(self.model)
        found = [known.get(id(v)) or path_of(v) for v in self.model.trainable_variables]
        self._owners = [path.rpartition("/")[0] or self.model.name for path in found]
        watched = {p: layer for p, layer in layer_paths(self.model).items() if is_relu(layer)}
        from keras_gdx.integration.diagnostics import compiled_look  # needs TensorFlow

        return compiled_look(self.model, self.parts, watched)

    def _look(self, compiled):
        found = compiled(self._batch, self._before)
        del self._before
        kinds = ("gradient", "weight", "moved")
        squares = np.array([found[kind] for kind in kinds])
        by_layer: dict = defaultdict(lambda: np.zeros(len(kinds)))
        for layer, numbers in zip(self._owners, squares.T, strict=True):
            by_layer[layer] += numbers
        whole = squares.sum(axis=1)
        look = sizes(whole)
        look["noise_scale"] = noise_scale(
            float(found["part"]), float(whole[0]), self._examples, self._examples * self.parts
        )
        layers = {layer: sizes(numbers) for layer, numbers in by_layer.items()}
        silent = {layer: np.asarray(units) for layer, units in found["silent"].items()}
        for layer, units in silent.items():
            layers.setdefault(layer, {})["dead_units"] = float(units.mean())
        if silent:
            look["dead_units"] = float(np.concatenate([*silent.values()]).mean())
        return {**look, "layers": layers}


def is_relu(layer):
    """Whether what comes out of a layer is 0 for all that is negative inside."""
    if isinstance(layer, keras.layers.ReLU):
        return not layer.negative_slope
    return getattr(getattr(layer, "activation", None), "__name__", "") in ("relu", "relu6")


def sizes(squares):
    """Norms from their squares, and by how much the step has moved the weights."""
    gradient, weight, moved = (math.sqrt(x) for x in squares)
    ratio = moved / weight if weight else math.nan
    return {"gradient_norm": gradient, "weight_norm": weight, "update_ratio": ratio}


def noise_scale(small, large, few, many):
    """The noise scale from squared norms of gradients over `few` and over `many` examples.

    Example:
        >>> noise_scale(small=3.0, large=2.0, few=1, many=2)  # trace 2, squared norm 1
        2.0
    """
    trace = (small - large) / (1 / few - 1 / many)
    norm = (many * large - few * small) / (many - few)
    return float(trace / norm) if norm > 0 else math.nan
