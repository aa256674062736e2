"""How sharply the loss is curved where training is."""

from keras_gdx.callbacks._lib.monitor import Monitor
from keras_gdx.config import check_integer
from keras_gdx.registry import register

__all__ = ["SharpnessMonitor"]


@register
class SharpnessMonitor(Monitor):
    """Writes the sharpness, the Hessian's eigenvalue of largest size, every so often.

    By power iteration: `v <- H v / |H v|` from a fixed random direction, and then `v' H v`. One
    product with the Hessian costs about two gradients. Plain gradient descent at rate `lr`
    is stable where the sharpness is below `2 / lr`. The loss is that of `data`, computed as
    in evaluation. It goes into the logs of the epoch as `sharpness`; `history` has every
    value. In between it only counts.

    Args:
        data: Inputs and targets of one batch, and perhaps their weights.
        every: Integer >= 1: batches between two looks.
        iterations: Integer >= 1: products with the Hessian for each.

    Raises:
        ValueError: If an argument is out of range, or the backend is not TensorFlow.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import SharpnessMonitor
        >>> x = np.array([[1.0, 0.0], [0.0, 3.0]])  # H = 2/2 * x'x, eigenvalues 1 and 9
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.compile("sgd", "mse")
        >>> watch = SharpnessMonitor((x, x[:, :1]), every=1)
        >>> history = model.fit(x, x[:, :1], verbose=0, callbacks=[watch])
        >>> round(watch.history[0]["sharpness"], 3)
        9.0

    Source: 2103.00065

    Verified against: the eigenvalues of whole Hessians
    """

    def __init__(self, data, every=100, iterations=20):
        super().__init__(data, every)
        check_integer("iterations", iterations, 1)
        self.iterations = iterations

    def _compile(self):
        from keras_gdx.integration.diagnostics import compiled_curvature  # needs TensorFlow

        return compiled_curvature(self.model, self.iterations)

    def _look(self, compiled):
        return {"sharpness": float(compiled(self._batch))}
