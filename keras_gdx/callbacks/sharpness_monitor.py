"""How sharply the loss is curved where training is."""

from typing import NamedTuple

import numpy as np

from keras_gdx.callbacks.base import Callback
from keras_gdx.callbacks.probe import Untouched, batch_of
from keras_gdx.config import check_integer, needs_tensorflow
from keras_gdx.engine import backend
from keras_gdx.registry import register

__all__ = ["SharpnessMonitor"]


class Curvatures(NamedTuple):
    """What the monitor remembers: the batches of the run so far, and what was found."""

    steps: int = 0
    history: tuple = ()


@register
class SharpnessMonitor(Callback):
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

    fresh = Curvatures()

    def __init__(self, data, every=100, iterations=20):
        super().__init__()
        check_integer("every", every, 1)
        check_integer("iterations", iterations, 1)
        self._batch = batch_of("data", data)
        self.data = data
        self.every = every
        self.iterations = iterations

    @property
    def history(self):
        """What was found, one dictionary for each look."""
        return list(self.memory.history)

    def on_train_begin(self, logs=None):
        """Compiles nothing yet: the first look does."""
        super().on_train_begin(logs)
        needs_tensorflow("SharpnessMonitor")
        self._curvature = None

    def on_epoch_begin(self, epoch, logs=None):
        """What was found in this epoch is to come."""
        super().on_epoch_begin(epoch, logs)
        self._found = None

    def on_train_batch_end(self, batch, logs=None):
        """Looks, if the time has come."""
        self.memory = self.memory._replace(steps=self.memory.steps + 1)
        if self.memory.steps % self.every == 0:
            self._found = {"step": self.memory.steps, "sharpness": self._look()}
            self.memory = self.memory._replace(history=(*self.memory.history, self._found))

    def on_epoch_end(self, epoch, logs=None):
        """Writes the last look of the epoch into its logs."""
        if self._found and logs is not None:
            logs["sharpness"] = self._found["sharpness"]

    def _look(self):
        if self._curvature is None:
            self._curvature = backend.compiled_curvature(self.model)
        chance = np.random.default_rng(0)
        shapes = [(v.shape, v.dtype) for v in self.model.trainable_variables]
        direction = [chance.normal(size=shape).astype(dtype) for shape, dtype in shapes]
        with Untouched(self.model):
            for _ in range(self.iterations):
                _, direction = self._curvature(*self._batch, direction)
            along, _ = self._curvature(*self._batch, direction)
        return float(along)
