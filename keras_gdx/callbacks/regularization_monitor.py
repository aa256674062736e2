"""Weight penalties in the logs."""

from collections import defaultdict

from keras import ops

from keras_gdx.callbacks.base import Callback, Logs
from keras_gdx.registry import register

__all__ = ["RegularizationMonitor"]


@register
class RegularizationMonitor(Callback):
    """Writes the weight penalties to the logs: their sum, and by kind.

    Keras' `loss` includes them without showing them. At the end of every epoch
    `regularization` is their sum for the current weights, and `regularization_l2` and so on,
    by class name, are its parts. `loss - regularization` is then approximately the data loss;
    it is not exact because the weights change during the epoch. Penalties on outputs, and
    those of train steps, are not included. There is no cost per batch.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx import callbacks, regularizers
        >>> dense = keras.layers.Dense(1, kernel_regularizer=regularizers.L2(0.5))
        >>> model = keras.Sequential([keras.Input((1,)), dense])
        >>> model.compile(keras.optimizers.SGD(0.0), "mse")
        >>> callback = callbacks.RegularizationMonitor()
        >>> x = np.zeros((4, 1))
        >>> history = model.fit(x, x, verbose=0, callbacks=[callback]).history
        >>> sorted(history)
        ['loss', 'regularization', 'regularization_l2']
        >>> abs(history["loss"][0] - history["regularization"][0]) < 1e-6
        True

    Args: none.

    Source: by definition

    Verified against: the loss of data that have none of their own
    """

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Writes the penalties of the current weights."""
        if logs is None:
            return
        parts: defaultdict[str, float] = defaultdict(float)
        for variable in self.model.trainable_variables:
            if variable.regularizer is not None:
                value = float(ops.convert_to_numpy(variable.regularizer(variable)))
                parts[type(variable.regularizer).__name__.lower()] += value
        logs.setdefault("regularization", sum(parts.values()))
        for name, value in parts.items():
            logs.setdefault(f"regularization_{name}", value)
