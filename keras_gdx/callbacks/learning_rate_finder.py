"""Learning-rate range test: finds an initial learning rate on a few batches."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge, Gt, Interval

from keras_gdx.arguments import PositiveFloat, needs_matplotlib
from keras_gdx.callbacks._lib.hyperparameters import check_rates, number, rate_groups
from keras_gdx.callbacks._lib.probe import no_loss
from keras_gdx.callbacks.base import Callback, Logs
from keras_gdx.checkpoint import snapshot
from keras_gdx.registry import register
from keras_gdx.report.charts import log_scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LearningRateFinder"]


class Sweep(NamedTuple):
    """The state of a `LearningRateFinder`: the rates tried, and the loss of each one's batch."""

    rates: Sequence[float] = ()
    losses: Sequence[float] = ()


@register
class LearningRateFinder(Callback):
    """Tries increasing learning rates, one per batch, and suggests one.

    The rate of batch `i` is `low * (high / low) ** (i / (steps - 1))`. The sweep ends, and `fit`
    with it, after `steps` batches, or when the smoothed loss exceeds `diverged` times its minimum
    or is not finite. Weights, statistics, optimizer and random states are then restored, bit for
    bit. (A `tf.data` shuffle that reshuffles each iteration continues with its next order.)
    Call `fit` for the sweep alone, with enough `epochs` for `steps` batches.

    The losses are those of single batches, not Keras' means over the epoch so far. A schedule of
    this package is scaled to give the rate being tried; batches where it is 0 are skipped.

    `suggestions` has the rates at these points of the smoothed loss over the logarithm of the
    rate:

    - `"steepest"`: the steepest descent of a straight line through 11 neighboring points.
    - `"minimum"`: the minimum, with its rate divided by 10.
    - `"valley"`: the middle of the longest decreasing subsequence.
    - `"slide"`: the start of the final part of the curve in which the slope changes by more
      than 0.005 over 15 points.

    Args:
        low: Number > 0, the first rate.
        high: Number > 0, the last rate, greater than `low`.
        steps: Integer >= 3, number of rates.
        smoothing: Number in [0, 1): weight of the past in the moving average of the losses.
        diverged: Number > 1: the sweep ends when the smoothed loss exceeds this multiple of its
            minimum.

    Raises:
        ValueError: If an argument is out of range; when training begins, if the learning rate
            cannot be set or the model is not built; after the first batch, if its logs have no
            loss.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import LearningRateFinder
        >>> x = np.random.default_rng(0).normal(size=(320, 4))
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> callback = LearningRateFinder(1e-4, 10.0, steps=60)
        >>> options = {"batch_size": 16, "epochs": 5, "verbose": 0}
        >>> history = model.fit(x, x.sum(1), callbacks=[callback], **options)
        >>> 1e-3 < callback.suggestions["valley"] < 1
        True

    Source: arXiv:1506.01186; "valley" and "slide" after the suggestions of fastai

    Verified against: a training loop by hand, and curves with known answers
    """

    fresh = Sweep()
    needs_weights = True
    resumes_exactly = False

    def __init__(
        self,
        low: PositiveFloat = 1e-7,
        high: PositiveFloat = 10.0,
        steps: Annotated[int, Ge(3)] = 100,
        smoothing: Annotated[float, Interval(ge=0, lt=1)] = 0.9,
        diverged: Annotated[float, Gt(1)] = 4.0,
    ):
        super().__init__()
        self.low = low
        self.high = high
        self.steps = steps
        self.smoothing = smoothing
        self.diverged = diverged
        self._before: Any = None  # during the sweep, the state to restore
        self._complete = False  # whether the sweep came to its end
        self._check(high > low, "high", high, f"a number > `low`, {low}")

    @property
    def rates(self) -> np.ndarray:
        """The rates tried so far."""
        return np.array(self.memory.rates)

    @property
    def losses(self) -> np.ndarray:
        """The loss of each rate's batch."""
        return np.array(self.memory.losses)

    @property
    def smoothed(self) -> np.ndarray:
        """The bias-corrected moving average of the losses."""
        return smooth(self.losses, self.smoothing)

    @property
    def suggestions(self) -> dict[str, float]:
        """The suggested rates by name; empty if there are too few losses."""
        finite = np.isfinite(self.smoothed)
        return suggest(self.rates[finite], self.smoothed[finite])

    def plot(self) -> Figure:
        """Plots loss over rate with the suggestions.

        Returns:
            A `matplotlib.figure.Figure`, which a notebook shows.

        Raises:
            ImportError: If matplotlib is missing; install `keras_gdx[report]`.
        """
        needs_matplotlib("LearningRateFinder.plot")
        from keras_gdx.figures import Picture

        figure = Picture(7, 4)
        axes = figure.subplots()
        axes.plot(self.rates, self.losses, ".", color="darkgray", label="batches")
        axes.plot(self.rates, self.smoothed, color="black", label="smoothed")
        for place, (name, rate) in enumerate(self.suggestions.items()):
            axes.axvline(rate, color=f"C{place}", label=f"{name}: {rate:.2g}")
        shown = self.smoothed[np.isfinite(self.smoothed)]
        if len(shown):
            margin = 0.1 * np.ptp(shown) or 1.0
            axes.set_ylim(shown.min() - margin, min(shown.max(), 2 * shown[0]) + margin)
        log_scale(axes, "x")
        axes.set(xlabel="learning rate", ylabel="loss of a batch")
        of = f"{self.model.name}, " if self.model else ""
        axes.set_title(f"{of}n = {len(self.rates)} batches, one at each rate", parse_math=False)
        axes.legend(frameon=False)
        return figure

    # -- the sweep --------------------------------------------------------------------------

    def on_train_begin(self, logs: Logs = None) -> None:
        """Copies the state that will be restored."""
        super().on_train_begin(logs)
        check_rates(self.model)
        snapshot.require(self.model)
        self._complete = False
        self._before = snapshot.take(self.model)

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Sets the rate, and resets the metrics so that they measure this batch alone."""
        self.model.reset_metrics()
        share = len(self.rates) / (self.steps - 1)
        self._rate: float | None = self.low * (self.high / self.low) ** share
        for _, (optimizer, *_) in rate_groups(self.model):
            if number(optimizer.learning_rate, optimizer.iterations) == 0:
                self._rate = None
            else:
                optimizer.learning_rate = self._rate

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Stores the loss."""
        if self._rate is None:
            return
        if logs is None or "loss" not in logs:
            raise no_loss(self.model, "LearningRateFinder")
        rates, losses = self.memory
        self.memory = Sweep((*rates, self._rate), (*losses, float(logs["loss"])))
        last = self.smoothed[-1]
        over = not math.isfinite(last) or last > self.diverged * np.min(self.smoothed)
        self._complete = over or len(self.memory.rates) == self.steps
        if self._complete:
            self.model.stop_training = True

    def on_train_end(self, logs: Logs = None) -> None:
        """Restores the state from before the sweep, so that others save that."""
        if not self._complete:
            warnings.warn(
                f"Training ended after {len(self.memory.rates)} of {self.steps} rates, so that "
                f"LearningRateFinder tried none above {self.rates.max(initial=0):.2g}. Give `fit` "
                "more epochs, or the callback fewer `steps`.",
                stacklevel=2,
            )
        self._restore()

    def undo(self) -> None:
        """Restores the state from before the sweep, whatever others did at the end of training."""
        self._restore()
        self._before = None

    def _restore(self) -> None:
        if self._before is not None:
            snapshot.put(self.model, self._before)


def smooth(losses: np.ndarray, weight: float) -> np.ndarray:
    """The moving average of `losses`, divided by the sum of its weights.

    Example:
        >>> smooth(np.array([1.0, 3.0]), 0.5).round(3)
        array([1.   , 2.333])
    """
    average, found = 0.0, list[float]()
    for count, loss in enumerate(losses, 1):
        average = weight * average + (1 - weight) * loss
        found.append(average / (1 - weight**count))
    return np.array(found)


def suggest(rates: np.ndarray, losses: np.ndarray) -> dict[str, float]:
    """The suggestions for a curve of losses over rates; see `LearningRateFinder`."""
    if len(losses) < 3:
        return {}
    lowest = int(np.argmin(losses))
    found = {"minimum": rates[lowest] / 10}
    if lowest > 0:
        found["steepest"] = rates[steepest(np.log(rates), losses, lowest)]
        first, last = longest_fall(losses)
        found["valley"] = rates[(first + last) // 2]
    if (place := slide(np.gradient(losses))) is not None:
        found["slide"] = rates[place]
    return {name: float(rate) for name, rate in found.items()}


def steepest(x: np.ndarray, y: np.ndarray, last: int, reach: int = 5) -> int:
    """The index up to `last` at which `y` falls most steeply with `x`.

    The slope is that of the line through the points at most `reach` places away. Two neighboring
    points would tell of noise, most of all the first ones of a moving average.

    Example:
        >>> steepest(np.arange(6.0), np.array([5.0, 4.9, 5.0, 2.0, 1.0, 1.1]), last=4)
        3
    """
    reach = max(1, min(reach, (len(x) - 1) // 3))
    x, y = (np.lib.stride_tricks.sliding_window_view(each, 2 * reach + 1) for each in (x, y))
    x = x - x.mean(axis=1, keepdims=True)
    slopes = (x * y).sum(axis=1) / (x * x).sum(axis=1)
    return reach + int(np.argmin(slopes[: max(1, last - reach + 1)]))


def longest_fall(losses: Sequence[float] | np.ndarray) -> tuple[int, int]:
    """The first and last index of the longest decreasing subsequence.

    Example:
        >>> longest_fall([3.0, 5.0, 4.0, 4.5, 2.0, 6.0])
        (1, 4)
    """
    length, start = [1] * len(losses), [*range(len(losses))]
    for here in range(len(losses)):
        for before in range(here):
            if losses[before] > losses[here] and length[before] + 1 > length[here]:
                length[here], start[here] = length[before] + 1, start[before]
    last = int(np.argmax(length))
    return start[last], last


def slide(slopes: np.ndarray, apart: int = 15, threshold: float = 0.005) -> int | None:
    """The start of the final part where the slope changes by > `threshold` in `apart` points."""
    found = None
    for left in range(len(slopes) - apart - 1, -1, -1):
        if abs(slopes[left + apart] - slopes[left]) <= threshold:
            break
        found = left
    return found
