"""The learning rate and its like, in the logs."""

from keras_gdx.callbacks._lib.hyperparameters import hyperparameters, rate_groups
from keras_gdx.callbacks.base import Callback
from keras_gdx.config import check, check_choice
from keras_gdx.registry import register

__all__ = ["HyperparameterLogger"]

USUAL = ("learning_rate", "weight_decay", "momentum", "beta_1", "ema_momentum")


@register
class HyperparameterLogger(Callback):
    """Writes learning rate, weight decay and momentum into the logs.

    There they are for `History`, the progress bar, `CSVLogger`, `TensorBoard` and
    every other callback that stands after this one in the list; `History` and the
    progress bar always do. Works with every optimizer: numbers, schedules of any
    hyper-parameter and callables, also inside `LossScaleOptimizer` and other
    wrappers. For a `MultiOptimizer` each name is followed by the optimizer's, as in
    `learning_rate_adam`. A value is the one of the next update. A key that the logs
    have already is left alone.

    Args:
        names: Attributes of the optimizer to write, such as `["learning_rate",
            "beta_2"]`. `None` writes those that it has of `learning_rate`,
            `weight_decay`, `momentum`, `beta_1`, and, if it averages, `ema_momentum`.
        every: `"epoch"` writes at the end of each epoch and costs nothing in
            between. `"batch"` also writes after each batch, and so waits for each
            batch to finish, which Keras does anyway on TensorFlow.

    Raises:
        ValueError: If an argument is not one of these, or when training begins, if
            the optimizer has none of a name that was asked for.

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
        """Checks that the optimizer has what was asked for."""
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
