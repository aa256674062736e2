"""Explains the outputs of a trained model by its inputs."""

import itertools
from collections.abc import Iterator
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from keras_gdx.arguments import (
    NonNegativeInt,
    PositiveInt,
    check,
    check_built,
    check_type,
    needs_tensorflow,
)
from keras_gdx.explanation.explanation import Array, Explanation
from keras_gdx.formulas import with_readable_help

__all__ = ["explain"]

Method = Literal["integrated_gradients", "occlusion", "shap", "permutation"]


@with_readable_help
def explain(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    method: Method = "integrated_gradients",
    target: NonNegativeInt | None = None,
    baseline: Any = 0.0,
    steps: PositiveInt = 64,
    window: PositiveInt = 1,
    stride: PositiveInt | None = None,
    loss: Any = None,
    repeats: PositiveInt = 5,
    seed: NonNegativeInt = 0,
) -> Explanation:
    r"""Explains the outputs of a trained model by its inputs.

    `"integrated_gradients"` (arXiv:1703.01365) attributes the difference between the output $f(x)$
    and that of a baseline $b$ to the inputs:

    $$a_i = (x_i - b_i) \int_0^1 \partial_i f(b + s(x - b))\, ds, \qquad
      \sum_i a_i = f(x) - f(b)$$

    The integral is computed by Gauss-Legendre quadrature; `missing` of the answer is its error,
    which falls with more `steps`. `"occlusion"` (arXiv:1311.2901) replaces one window of the input
    after the other by the baseline; an entry has the mean decrease of the output over all windows
    that cover it. `"shap"` (arXiv:1705.07874) gives each input its mean effect over the orders in
    which the inputs may be taken from the baseline to $x$, of which the package `shap` samples
    some; like integrated gradients, these add up to $f(x) - f(b)$. `"permutation"` (Breiman 2001)
    is about the model rather than an example: the increase of the mean loss when a feature is
    permuted among the examples.

    All of them tell what the model uses, not what causes what: of features that carry the same
    information, a model may use either.

    Args:
        model: A Keras model with one input and one output.
        x: Array of shape (examples, ...): the inputs to explain.
        y: The targets, for `"permutation"` only.
        method: See above.
        target: Integer >= 0: the entry of the output that is explained. `None`: the largest of
            each example.
        baseline: Number or array that broadcasts with `x`: an input without information, such as
            a black image or the mean of the features.
        steps: Integer >= 1: points of the quadrature; each is a gradient of all examples.
        window: Integer >= 1: side of a window: entries of a vector; pixels of an image, with all
            channels; steps of a sequence.
        stride: Integer >= 1: distance of two windows. `None`: half a window, at least 1.
        loss: Loss for `"permutation"`; `None`: that of the compiled model.
        repeats: Integer >= 1: permutations of each feature; for `"shap"` the number of orders,
            each of which is gone through forward and back.
        seed: Integer >= 0: of the permutations.

    Returns:
        An `Explanation`: `values`, `output`, `reference`, `missing`, `plot()`.

    Raises:
        ValueError: If an argument is out of its range or does not belong to the method.
        ImportError: For `"shap"`, if that is missing: install `keras_gdx[explain]`.

    Example:
        >>> import keras, keras_gdx, numpy as np
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.set_weights([np.array([[2.0], [0.0], [-1.0]])])
        >>> found = keras_gdx.explain(model, np.array([[1.0, 5.0, 3.0]]))
        >>> [[round(float(v), 4) for v in row] for row in found.values]
        [[2.0, 0.0, -3.0]]
        >>> bool(abs(found.missing[0]) < 1e-5)
        True
    """
    check_built(model)
    check_type("method", method, Method)
    check_type("target", target, NonNegativeInt | None)
    check_type("seed", seed, NonNegativeInt)
    for name, value in (("steps", steps), ("window", window), ("repeats", repeats)):
        check_type(name, value, PositiveInt)
    check_type("stride", stride, PositiveInt | None)
    stride = max(1, window // 2) if stride is None else stride
    check(stride <= window, "stride", stride, f"at most `window`, {window}")
    inputs = _inputs(model, x)
    if method == "permutation":
        check(inputs.ndim == 2, "x", inputs.shape, "of shape (examples, features)")
        check(y is not None, "y", y, "the targets, for method='permutation'")
        loss = model.loss if loss is None and model.compiled else loss
        check(loss is not None, "loss", loss, "a loss, as the model is not compiled")
        return _permutation(model, inputs, y, keras.losses.get(loss), repeats, seed)
    check(y is None, "y", type(y), f"None for method={method!r}")
    try:
        base = np.broadcast_to(np.asarray(baseline, inputs.dtype), inputs.shape)
    except ValueError:
        check(False, "baseline", np.shape(baseline), f"a number or of a shape like {inputs.shape}")
    picked = Picked(model, inputs, target)
    if method == "integrated_gradients":
        needs_tensorflow("method='integrated_gradients'")
        values = _integrated_gradients(model, inputs, base, picked, steps)
    elif method == "shap":
        values = _shap(inputs, base, picked, repeats, seed)
    else:
        values = _occlusion(inputs, base, picked, window, stride)
    return Explanation(method, values, picked(inputs), picked(base), inputs)


def _inputs(model: keras.Model, x: Any) -> Array:
    single = not isinstance(x, (dict, list, tuple)) and len(model.inputs or [None]) == 1
    check(single, "x", type(x), "one array, for a model with one input")
    inputs = np.asarray(x)
    check(inputs.ndim > 1 and len(inputs), "x", inputs.shape, "of shape (examples, ...)")
    if not np.issubdtype(inputs.dtype, np.floating):
        inputs = inputs.astype(keras.config.floatx())
    return inputs.astype(model.inputs[0].dtype) if model.inputs else inputs


class Picked:
    """The explained entry of the output of each example, as a function of the inputs."""

    def __init__(self, model: keras.Model, x: Array, target: int | None):
        self._model = model
        outputs = np.asarray(model.predict_on_batch(x))
        check(outputs.ndim in (1, 2), "model", outputs.shape, "with outputs (examples, entries)")
        self._entries = None
        if outputs.ndim == 2:
            known = f"below {outputs.shape[1]}, the number of outputs"
            check(target is None or target < outputs.shape[1], "target", target, known)
            largest = outputs.argmax(axis=1) if target is None else np.full(len(x), target)
            self._entries = np.eye(outputs.shape[1], dtype=outputs.dtype)[largest]

    def of(self, outputs: Any) -> Any:
        """The entries of the model's outputs."""
        return outputs if self._entries is None else ops.sum(outputs * self._entries, axis=1)

    def __call__(self, x: Array) -> Array:
        return np.asarray(self.of(self._model.predict_on_batch(x)), "float64")

    def of_one(self, x: Array, example: int) -> Array:
        """The entry that is explained of one example, for other inputs."""
        outputs = np.asarray(self._model.predict(x, verbose=0), "float64")
        return outputs if self._entries is None else outputs @ self._entries[example]


def _integrated_gradients(
    model: keras.Model, x: Array, base: Array, picked: Picked, steps: int
) -> Array:
    from keras_gdx.integration.input_gradients import input_gradients

    points, weights = np.polynomial.legendre.leggauss(steps)
    total = np.zeros(x.shape)
    for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
        between = (base + point * (x - base)).astype(x.dtype)
        total += weight * input_gradients(model, between, picked.of)
    return (x - base) * total


def _occlusion(x: Array, base: Array, picked: Picked, window: int, stride: int) -> Array:
    before = picked(x)
    total, count = np.zeros(x.shape), np.zeros(x.shape[1:])
    for place in _windows(x.shape[1:], window, stride):
        covered = x.copy()
        covered[(slice(None), *place)] = base[(slice(None), *place)]
        drop = before - picked(covered)
        total[(slice(None), *place)] += drop.reshape(-1, *[1] * (x.ndim - 1))
        count[place] += 1
    return total / count


def _shap(x: Array, base: Array, picked: Picked, repeats: int, seed: int) -> Array:
    try:
        from shap.explainers import Permutation
    except ImportError as error:
        raise ImportError("method='shap' needs shap: pip install 'keras_gdx[explain]'") from error

    values = np.empty(x.shape)
    for example, (row, start) in enumerate(zip(x, base, strict=True)):

        def of(flat: Array, example: int = example) -> Array:
            return picked.of_one(flat.reshape(-1, *x.shape[1:]).astype(x.dtype), example)

        explainer = Permutation(of, start.reshape(1, -1), seed=seed)
        calls = repeats * (2 * row.size + 1)
        found = explainer(row.reshape(1, -1), max_evals=calls, silent=True)
        values[example] = found.values.reshape(row.shape)
    return values


def _windows(shape: tuple[int, ...], window: int, stride: int) -> Iterator[tuple[slice, ...]]:
    """Windows that cover all entries; the last axis is whole, unless it is the only one."""
    axes = shape if len(shape) == 1 else shape[:-1]
    begins = []
    for size in axes:
        last = max(0, size - window)
        begins.append([*range(0, last, stride), last])
    for corner in itertools.product(*begins):
        yield tuple(slice(begin, begin + window) for begin in corner)


def _permutation(
    model: keras.Model, x: Array, y: Any, loss: Any, repeats: int, seed: int
) -> Explanation:
    def mean_loss(inputs: Array) -> float:
        return float(np.mean(np.asarray(loss(y, model.predict_on_batch(inputs)))))

    random = np.random.default_rng(seed)
    before = mean_loss(x)
    increase = np.empty((repeats, x.shape[1]))
    for repeat, feature in np.ndindex(*increase.shape):
        changed = x.copy()
        changed[:, feature] = random.permutation(x[:, feature])
        increase[repeat, feature] = mean_loss(changed) - before
    spread = increase.std(axis=0, ddof=1) if repeats > 1 else np.zeros(x.shape[1])
    loss_alone = np.array([before])
    return Explanation("permutation", increase.mean(axis=0), loss_alone, loss_alone, x, spread)
