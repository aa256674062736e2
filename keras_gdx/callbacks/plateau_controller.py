"""Less learning rate once a metric stops improving."""

import math
import numbers
import re
from typing import NamedTuple

import keras

from keras_gdx.callbacks.base import Callback
from keras_gdx.callbacks.hyperparameters import groups, hyperparameters, number
from keras_gdx.config import check, check_choice, check_number, is_number
from keras_gdx.registry import register

__all__ = ["PlateauController"]

FALLS = "loss|error|mse|mae|rmse|mape|msle|crossentropy|divergence|hinge|logcosh|log_cosh|poisson"
FALLS += "|perplexity|false_positives|false_negatives"
RISES = "acc|accuracy|auc|precision|recall|sensitivity|specificity|score|f1|iou|io_u|similarity"
RISES += "|correlation|true_positives|true_negatives"


class Plateau(NamedTuple):
    """What the controller remembers.

    Attributes:
        best: The best value so far; `None` before the first one.
        wait: Epochs since then that counted as no improvement.
        cooldown: Epochs still to come that do not count.
    """

    best: float | None = None
    wait: int = 0
    cooldown: int = 0


def observe(state, value, *, mode="min", min_delta=1e-4, relative=True, patience=10, cooldown=0):
    """Pure core: what one more value of the metric means.

    Args:
        state: A `Plateau`.
        value: The metric; inf and NaN are no improvement.
        mode: `"min"` or `"max"`.
        min_delta: See `PlateauController`, as for the rest.
        relative: Whether `min_delta` is a fraction of the best value.
        patience: Values without improvement that make a plateau.
        cooldown: Values after a plateau that do not count.

    Returns:
        The next state, and `"improved"`, `"plateau"` or `None`.

    Example:
        >>> observe(Plateau(best=1.0, wait=1), 1.5, patience=2, cooldown=3)
        (Plateau(best=1.0, wait=0, cooldown=3), 'plateau')
    """
    resting = state.cooldown > 0
    state = state._replace(cooldown=max(state.cooldown - 1, 0))
    if _improves(value, state.best, mode, min_delta, relative):
        return state._replace(best=value, wait=0), "improved"
    if resting:
        return state, None
    if state.wait + 1 < patience:
        return state._replace(wait=state.wait + 1), None
    return state._replace(wait=0, cooldown=cooldown), "plateau"


def _improves(value, best, mode, min_delta, relative):
    if best is None or not math.isfinite(value):
        return math.isfinite(value)
    margin = min_delta * abs(best) if relative else min_delta
    return value < best - margin if mode == "min" else value > best + margin


def direction(monitor):
    """Returns `"min"` or `"max"`, whichever is better for a metric of that name, or `None`."""
    for mode, words in (("min", FALLS), ("max", RISES)):
        if re.search(rf"(^|_)({words})(_|$)", monitor.lower()):
            return mode
    return None


@register
class PlateauController(Callback):
    """Lowers the learning rate when a metric stops improving.

    After `patience` epochs without improvement the rate is multiplied by `factor`.
    This works on top of any schedule of the optimizers of this package: the rest of the
    schedule is scaled so that it passes through the lowered value, and keeps its
    shape. For Keras' own optimizers it works with a number as learning rate; they
    take no new rate once they have a schedule. Each optimizer of a `MultiOptimizer`
    is lowered by itself. The rate of the epoch is in its logs as `learning_rate`.

    Args:
        monitor: Name of the metric in the logs, such as `"val_loss"` or `"accuracy"`.
        factor: Number in (0, 1) that multiplies the rate.
        patience: Integer >= 0, epochs without improvement that make a plateau; 0
            and 1 both act on the first.
        mode: `"min"` if less of the metric is better, `"max"` if more, `"auto"` to
            tell by its name.
        min_delta: Number >= 0, the least change that is an improvement.
        relative: Whether `min_delta` is a fraction of the best value so far, or, if
            false, in the units of the metric.
        cooldown: Integer >= 0, epochs after a change that do not count as being
            without improvement.
        min_learning_rate: Number >= 0 below which no change brings the rate; a
            schedule may still go there by itself.
        start_from_epoch: Integer >= 0, the first epoch that is observed, counted
            from 0; for runs with a warm-up.
        verbose: 1 to print each change, 0 not to.

    Raises:
        ValueError: If an argument is out of range, or `mode="auto"` with a metric
            whose name does not tell; when training begins, or at the first plateau, if
            the optimizer takes no new rate; after the first epoch observed, if its logs
            lack the metric. Later epochs without it, as with `validation_freq`, are
            passed over.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import PlateauController
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.5), "mse")
        >>> x = np.zeros((4, 1))  # nothing to learn: the loss is 0 from the start
        >>> control = PlateauController("loss", patience=2)
        >>> history = model.fit(x, x, epochs=5, verbose=0, callbacks=[control])
        >>> history.history["learning_rate"]
        [0.5, 0.5, 0.5, 0.25, 0.25]
        >>> control.state()
        {'best': 0.0, 'wait': 0, 'cooldown': 0}

    Source: the rule of PyTorch's `ReduceLROnPlateau`, whose `patience` is one less.

    Verified against: recorded decisions of torch.optim.lr_scheduler.ReduceLROnPlateau.
    """

    fresh = Plateau()

    def __init__(
        self,
        monitor="val_loss",
        *,
        factor=0.5,
        patience=5,
        mode="auto",
        min_delta=1e-4,
        relative=True,
        cooldown=0,
        min_learning_rate=0.0,
        start_from_epoch=0,
        verbose=0,
    ):
        super().__init__()
        check(isinstance(monitor, str), "monitor", monitor, "the name of a metric")
        check(is_number(factor) and 0 < factor < 1, "factor", factor, "a number in (0, 1)")
        check_choice("mode", mode, ("auto", "min", "max"))
        check_number("min_delta", min_delta, 0)
        check_number("min_learning_rate", min_learning_rate, 0)
        check_choice("relative", relative, (True, False))
        check_choice("verbose", verbose, (0, 1, 2))
        whole = {"patience": patience, "cooldown": cooldown, "start_from_epoch": start_from_epoch}
        for name, value in whole.items():
            check(isinstance(value, numbers.Integral), name, value, "an integer >= 0")
            check_number(name, value, 0)
        told = mode != "auto" or direction(monitor)
        check(told, "mode", mode, f"'min' or 'max': the name {monitor!r} does not tell")
        self.monitor = monitor
        self.factor = factor
        self.patience = patience
        self.mode = mode
        self.min_delta = min_delta
        self.relative = relative
        self.cooldown = cooldown
        self.min_learning_rate = min_learning_rate
        self.start_from_epoch = start_from_epoch
        self.verbose = verbose

    def on_train_begin(self, logs=None):
        """Makes sure that the learning rate can be changed."""
        super().on_train_begin(logs)
        for _, layers in groups(self.model.optimizer):
            if not takes_a_rate(layers):
                raise ValueError(refusal(layers))

    def on_epoch_end(self, epoch, logs=None):
        """Observes the metric and acts on a plateau."""
        logs = {} if logs is None else logs
        if epoch >= self.start_from_epoch and self._is_logged(logs):
            value = float(logs[self.monitor])
            self.memory, verdict = observe(self.memory, value, **self._rule())
        else:
            verdict = None
        logs.update(hyperparameters(self.model.optimizer, ("learning_rate",)))
        if verdict == "plateau":
            self._lower(epoch)

    def _is_logged(self, logs):
        if self.monitor not in logs and self.memory == self.fresh:
            raise ValueError(
                f"Argument `monitor` must be the name of something in the logs, which are "
                f"{', '.join(sorted(logs)) or 'empty'}. Received: monitor={self.monitor!r}. "
                "If the first epochs have no validation, let `start_from_epoch` be the one "
                "that has."
            )
        return self.monitor in logs

    def _rule(self):
        return {
            "mode": direction(self.monitor) if self.mode == "auto" else self.mode,
            "min_delta": self.min_delta,
            "relative": self.relative,
            "patience": self.patience,
            "cooldown": self.cooldown,
        }

    def _lower(self, epoch):
        for suffix, layers in groups(self.model.optimizer):
            optimizer = layers[0]
            rate = number(optimizer.learning_rate, optimizer.iterations)
            lower = max(rate * self.factor, self.min_learning_rate)
            if lower < rate:
                try:
                    optimizer.learning_rate = lower
                except (AttributeError, TypeError) as error:
                    raise ValueError(refusal(layers)) from error
                if self.verbose:
                    print(
                        f"\nEpoch {epoch + 1}: {self.monitor} has not improved on "
                        f"{self.memory.best}, learning_rate{suffix} becomes {lower:.6g}."
                    )


def takes_a_rate(layers):
    """Whether the rate is a number, or every layer has a setter that is not Keras' own."""
    rate = layers[0].learning_rate
    setters = [getattr(type(layer), "learning_rate", None) for layer in layers]
    keras_own = keras.optimizers.Optimizer.learning_rate
    return isinstance(rate, keras.Variable) or not (callable(rate) or keras_own in setters)


def refusal(layers):
    return (
        f"The learning rate of {layers[-1].name!r} cannot be lowered: it is a callable, or the "
        "schedule of one of Keras' own optimizers. Give a number as `learning_rate`, or, for a "
        "schedule, use an optimizer of keras_gdx: those scale it."
    )
