"""Learning rate and other hyperparameters in the logs."""

from keras_gdx.callbacks._lib.hyperparameters import hyperparameters, rate_groups
from keras_gdx.callbacks.base import Callback
from keras_gdx.config import check, check_choice
from keras_gdx.registry import register

__all__ = ["HyperparameterLogger"]

USUAL = ("learning_rate", "weight_decay", "momentum", "beta_1", "ema_momentum")


@register
class HyperparameterLogger(Callback):
    """Writes learning rate, weight decay and momentum to the logs.

    `History`, the progress bar, and callbacks such as `CSVLogger` and `TensorBoard` that
    come later in the list see them. It works with every optimizer and with numbers,
    schedules and callables, also inside wrappers such as `LossScaleOptimizer`. With a
    `MultiOptimizer` the optimizer's name is appended, as in `learning_rate_adam`. The
    values are those of the next update. Existing keys of the logs are not overwritten.

    Args:
        names: List of attributes of the optimizer, such as `["learning_rate", "beta_2"]`.
            `None`: those it has of `learning_rate`, `weight_decay`, `momentum`, `beta_1`,
            and, with `use_ema`, `ema_momentum`.
        every: `"epoch"` writes at the end of each epoch, without cost per batch.
            `"batch"` also writes after each batch, and so waits for it to finish, which
            Keras does anyway on TensorFlow.

    Raises:
        ValueError: If an argument is not one of these; when training begins, if the
            optimizer lacks one of `names`.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import HyperparameterLogger
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> rate = keras.optimizers.schedules.ExponentialDecay(0.5, 1, 0.5)
        >>> model.compile(keras.optimizers.SGD(rate, momentum=0.9), "mse")
        >>> x = np.ones((4, 1))
        >>> history = model.fit(x, x, epochs=2, verbose=0, callbacks=[HyperparameterLogger()])
        >>> history.history["learning_rate"]
        [0.25, 0.125]
        >>> sorted(history.history)
        ['learning_rate', 'loss', 'momentum']

    Source: by definition

    Verified against: the optimizer's own values
    """

    def __init__(self, names=None, every="epoch"):
        super().__init__()
        sequence = isinstance(names, (list, tuple)) and all(isinstance(n, str) for n in names)
        check(names is None or sequence, "names", names, "a list of names, or None")
        check_choice("every", every, ("epoch", "batch"))
        self.names = names
        self.every = every
        if every == "batch":  # not a method: see `Callback` on batch hooks
            self.on_train_batch_end = self._write  # type: ignore[method-assign]

    def on_train_begin(self, logs=None):
        """Checks that the optimizer has all of `names`."""
        super().on_train_begin(logs)
        layers = [layer for _, found in rate_groups(self.model) for layer in found]
        known = {name for name in self.names or () if any(hasattr(x, name) for x in layers)}
        missing = ", ".join(name for name in self.names or () if layers and name not in known)
        check(not missing, "names", self.names, f"what the optimizer has; it has no {missing}")

    def on_epoch_end(self, epoch, logs=None):
        """Writes the values of the next update."""
        self._write(epoch, logs)

    def _write(self, index, logs=None):
        if logs is not None:
            names = USUAL if self.names is None else self.names
            for key, value in hyperparameters(self.model, names).items():
                logs.setdefault(key, value)
