"""Norms of gradients, weights and updates, gradient noise, and dead units."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import keras
import numpy as np
from annotated_types import Ge

from keras_gdx.backends import backend
from keras_gdx.callbacks._lib.amount import EveryCount
from keras_gdx.callbacks._lib.monitor import Monitor
from keras_gdx.callbacks._lib.probe import parts_of
from keras_gdx.callbacks.base import Logs
from keras_gdx.engine.variables.structure import layer_paths, path_of, paths
from keras_gdx.registry import register

__all__ = ["GradientMonitor"]


@register
class GradientMonitor(Monitor):
    r"""Measures gradient, weight and update norms, gradient noise, and dead units.

    Whenever `every` is over (with `steps_per_execution`, after the execution that completes it):

    - `gradient_norm`: norm of the gradient of the loss on `data`, computed in inference mode (no
      dropout, moving statistics), so that it depends on the weights only;
    - `weight_norm`: norm of all trainable weights;
    - `update_ratio`: norm of the change of the weights in that step, divided by `weight_norm`;
    - `noise_scale`: `trace(covariance) / |gradient|**2` over the examples of `data`, the batch
      size at which the noise is as large as the gradient. `data` has `B` examples in `parts` of
      `b` examples each; with `s`, the mean squared gradient norm of a part, and `S`, the squared
      gradient norm of all of `data`, it is estimated by

      $$\operatorname{trace} = \frac{s - S}{1/b - 1/B}, \qquad
        \lVert \operatorname{gradient} \rVert^2 = \frac{B S - b s}{B - b}$$

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
        every: Steps (batches) between two measurements, or an amount such as `"1 epoch"`.
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
        >>> callback = GradientMonitor((x, x[:, :1]), every="4 steps")
        >>> history = model.fit(x, x[:, :1], batch_size=8, verbose=0, callbacks=[callback])
        >>> [each["step"] for each in callback.history], sorted(history.history)[:2]
        ([4, 8], ['gradient_norm', 'loss'])
        >>> sorted(callback.history[0]["layers"]["out"])
        ['gradient_norm', 'update_ratio', 'weight_norm']

    Source: arXiv:1812.06162 for the noise scale

    Verified against: gradients of each example by hand
    """

    def __init__(
        self, data: Sequence[Any], every: EveryCount = 100, parts: Annotated[int, Ge(2)] = 8
    ):
        super().__init__(data, every)
        self.parts = parts
        self._examples = len(next(parts_of(self._batch, parts))[1])
        self._check(self._examples > 0, "parts", parts, "at most the number of examples in `data`")

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Copies the weights before a step that will be measured."""
        if self.reaches(batch + self.model.steps_per_execution - 1):
            self._before = [backend.snapshot(v) for v in self.model.trainable_variables]

    def _compile(self) -> Callable[..., Any]:
        known = paths(self.model)
        found = [known.get(id(v)) or path_of(v) for v in self.model.trainable_variables]
        self._owners = [path.rpartition("/")[0] or self.model.name for path in found]
        watched = {p: layer for p, layer in layer_paths(self.model).items() if is_relu(layer)}
        from keras_gdx.integration.diagnostics import compiled_measurement  # needs TensorFlow

        measurement: Callable[..., Any] = compiled_measurement(self.model, self.parts, watched)
        return measurement

    def _measure(self, compiled: Callable[..., Any]) -> dict[str, Any]:
        found = compiled(self._batch, self._before)
        del self._before
        kinds = ("gradient", "weight", "moved")
        squares = np.array([found[kind] for kind in kinds])
        by_layer: dict[str, Any] = defaultdict(lambda: np.zeros(len(kinds)))
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


def is_relu(layer: Any) -> bool:
    """Whether the layer's output is 0 for negative pre-activations."""
    if isinstance(layer, keras.layers.ReLU):
        return not layer.negative_slope
    return getattr(getattr(layer, "activation", None), "__name__", "") in ("relu", "relu6")


def sizes(squares: np.ndarray) -> dict[str, float]:
    """Norms from their squares, and the update ratio."""
    gradient, weight, moved = (math.sqrt(x) for x in squares)
    ratio = moved / weight if weight else math.nan
    return {"gradient_norm": gradient, "weight_norm": weight, "update_ratio": ratio}


def noise_scale(small: float, large: float, few: int, many: int) -> float:
    """The noise scale, from squared gradient norms over `few` and over `many` examples.

    Example:
        >>> noise_scale(small=3.0, large=2.0, few=1, many=2)  # trace 2, squared norm 1
        2.0
    """
    trace = (small - large) / (1 / few - 1 / many)
    norm = (many * large - few * small) / (many - few)
    return float(trace / norm) if norm > 0 else math.nan
