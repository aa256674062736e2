"""Learning rate and other hyperparameters in the logs."""

from keras_gdx.advice import called_here
from keras_gdx.callbacks._lib.amount import Every
from keras_gdx.callbacks._lib.argument_types import Names
from keras_gdx.callbacks._lib.hyperparameters import hyperparameters, rate_groups
from keras_gdx.callbacks.base import Counted, Logs, Periodic, if_needed
from keras_gdx.registry import register

__all__ = ["HyperparameterLogger"]

USUAL = ("learning_rate", "weight_decay", "momentum", "beta_1", "ema_momentum")


@register
class HyperparameterLogger(Periodic):
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
        every: `"epoch"` writes to the logs of each epoch, `"2 epochs"` to those of every
            second one, without cost per batch. An amount such as `"1 step"` (a step is a
            batch), `"100 steps"` or `"10 minutes"`, or a number of steps, also writes to the
            logs of the batch that completes it. That waits for each batch to finish, which
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
        >>> callback = HyperparameterLogger()
        >>> history = model.fit(x, x, epochs=2, verbose=0, callbacks=[callback])
        >>> history.history["learning_rate"]
        [0.25, 0.125]
        >>> sorted(history.history)
        ['learning_rate', 'loss', 'momentum']

    Source: by definition

    Verified against: the optimizer's own values
    """

    fresh = Counted()

    def __init__(self, names: Names | None = None, every: Every = "epoch"):
        super().__init__()
        self.names = names
        self.every = every

    @property
    def needs_batches(self) -> bool:
        return bool(self.parsed("every").unit != "epochs")

    def on_train_begin(self, logs: Logs = None) -> None:
        """Checks that the optimizer has all of `names`."""
        super().on_train_begin(logs)
        layers = [layer for _, found in rate_groups(self.model) for layer in found]
        known = {name for name in self.names or () if any(hasattr(x, name) for x in layers)}
        missing = [name for name in self.names or () if layers and name not in known]
        if missing:
            allowed = f"what the optimizer has; it has no {', '.join(missing)}"
            advice = called_here(missing[0], [each for layer in layers for each in dir(layer)])
            self._check(False, "names", self.names, allowed, advice)

    @if_needed
    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Writes the values of the next update if `every` is over."""
        if self.count(batch):
            self._write(logs)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Writes the values of the next update."""
        super().on_epoch_end(epoch, logs)
        if self.needs_batches or self.parsed("every").after_epoch(epoch):
            self._write(logs)

    def _write(self, logs: Logs) -> None:
        if logs is not None:
            names = USUAL if self.names is None else self.names
            for key, value in hyperparameters(self.model, names).items():
                logs.setdefault(key, value)
