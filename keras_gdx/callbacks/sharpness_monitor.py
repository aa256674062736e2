"""Sharpness: the largest Hessian eigenvalue of the loss."""

from collections.abc import Callable, Sequence
from typing import Any

from keras_gdx.arguments import PositiveInt
from keras_gdx.callbacks._lib.amount import EveryCount
from keras_gdx.callbacks._lib.monitor import Monitor
from keras_gdx.registry import register

__all__ = ["SharpnessMonitor"]


@register
class SharpnessMonitor(Monitor):
    """Measures the sharpness: the Hessian eigenvalue of largest magnitude.

    It uses power iteration: `v <- H v / |H v|` from a fixed random direction, then `v' H v`. One
    Hessian-vector product costs about two gradients. Plain gradient descent with learning rate
    `lr` is stable where the sharpness is below `2 / lr`. The loss is that of `data` in inference
    mode. The logs of the epoch have the last value as `sharpness`; `history` has all values.
    Other steps are only counted.

    Args:
        data: Inputs and targets of one batch, and optionally sample weights.
        every: Steps (batches) between two measurements, or an amount such as `"1 epoch"`.
        iterations: Integer >= 1: Hessian-vector products per measurement.

    Raises:
        ValueError: If an argument is out of range, or the backend is not TensorFlow.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import SharpnessMonitor
        >>> x = np.array([[1.0, 0.0], [0.0, 3.0]])  # H = 2/2 * x'x, eigenvalues 1 and 9
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.compile("sgd", "mse")
        >>> callback = SharpnessMonitor((x, x[:, :1]), every="1 step")
        >>> history = model.fit(x, x[:, :1], verbose=0, callbacks=[callback])
        >>> round(callback.history[0]["sharpness"], 3)
        9.0

    Source: arXiv:2103.00065

    Verified against: the eigenvalues of full Hessians
    """

    def __init__(self, data: Sequence[Any], every: EveryCount = 100, iterations: PositiveInt = 20):
        super().__init__(data, every)
        self.iterations = iterations

    def _compile(self) -> Callable[..., Any]:
        from keras_gdx.integration.diagnostics import compiled_curvature  # needs TensorFlow

        curvature: Callable[..., Any] = compiled_curvature(self.model, self.iterations)
        return curvature

    def _measure(self, compiled: Callable[..., Any]) -> dict[str, Any]:
        return {"sharpness": float(compiled(self._batch))}
