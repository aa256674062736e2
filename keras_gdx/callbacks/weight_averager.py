"""Weight averaging over epochs or batches: EMA, SWA and LAWA."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Annotated, Any, Literal, NamedTuple

import keras
import numpy as np
from annotated_types import Interval
from keras import ops

from keras_gdx.arguments import PositiveInt, check
from keras_gdx.callbacks._lib.amount import EveryCount, amount_in
from keras_gdx.callbacks.base import Logs, Periodic, if_needed
from keras_gdx.engine.state.state import is_overwritten
from keras_gdx.engine.variables.structure import layers_of
from keras_gdx.integration.random_state import random_variables
from keras_gdx.integration.weight_swap import WeightSwap, added_to, trained_weights
from keras_gdx.registry import register

__all__ = ["WeightAverager"]


class Averaged:
    """What `WeightSwap` asks its owner, answered for a `WeightAverager`."""

    built = True

    def __init__(self, averager: "WeightAverager"):
        self.averager = averager

    @property
    def iterations(self) -> int:
        """The number of samples."""
        samples: int = self.averager.memory.samples
        return samples

    @property
    def model_variables(self) -> list[Any]:
        """The variables that are averaged."""
        return self.averager._weights()

    def evaluation_values(self, trained: Sequence[Any]) -> list[np.ndarray]:
        """The averages, in the variables' dtypes."""
        pairs = zip(self.model_variables, self.averager.averages, strict=True)
        return [ops.cast(value, v.dtype) for v, value in pairs]

    def adopt(self, indices: Sequence[int]) -> None:
        """Does nothing: weights that are set count from the next sample on."""

    def close_epoch(self) -> None:
        """Samples the trained weights."""
        self.averager.sample_epoch()


class Averages(NamedTuple):
    """The state of a `WeightAverager`.

    Attributes:
        step: Steps of the run so far, if `every` or `start` is in steps.
        begin: Value of `step` when the current epoch began; `None` between epochs.
        samples: Number of samples so far.
        sampled: Epoch of the last end-of-epoch sample.
        values: Average of each weight; for `"lawa"` a tuple of its last samples.
        trained: After `fit`, the trained weights.
    """

    step: int = 0
    begin: int | None = None
    samples: int = 0
    sampled: int = -1
    values: Sequence[Any] = ()
    trained: Sequence[np.ndarray] = ()


@register
class WeightAverager(Periodic):
    r"""Averages weights; validates with the averages and leaves them in the model.

    The samples are the weights $w_1, w_2, \ldots$ at the end of each epoch, or whenever `every` is
    over:

    - `"ema"`: $a_n = d_n a_{n-1} + (1 - d_n) w_n$, $d_n = \min(d, n / (n + 9))$, which gives
      early samples less weight.
    - `"swa"`: the mean of all samples since `start`. (With `every="step"` this is tail averaging.)
    - `"lawa"`: the mean of the last `window` samples.

    All floating-point weights are averaged, including batch-normalization statistics, which
    `refresh` recomputes from data. During `fit` the averages of the trained weights are what is
    evaluated and saved: validation uses them, and from there to the next epoch the model has
    them, so that `ModelCheckpoint` and `EarlyStopping` keep what was validated. Then the trained
    weights are restored, bit for bit. After `fit` the model has the averages, or the weights that
    `EarlyStopping` restored; a resumed `fit` (`restore(state())`, or `ResumableCheckpoint`) starts
    from the trained weights.

    The averages are stored on the host, in at least float32. To average in every update, the
    optimizers' `use_ema` is cheaper: it runs on the device, in the compiled step.

    Args:
        kind: `"ema"`, `"swa"` or `"lawa"`.
        decay: Number in [0, 1), $d$ of `"ema"`.
        window: Integer >= 1, number of samples that `"lawa"` averages.
        start: Epochs before the first sample, or an amount such as `"2 epochs"` or
            `"1000 steps"`.
        every: `"epoch"` or `"2 epochs"`; or an amount such as `"10 steps"`, or a number of steps
            (batches) between two samples.
        refresh: Inputs of the model, one batch or a list of batches, from which the
            batch-normalization statistics are recomputed at the end; `None` keeps their average.

    Raises:
        ValueError: If an argument is out of range, or `fit` has another callback that
            evaluates averages: another one of these, or Keras' `SwapEMAWeights`.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import WeightAverager
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> seen, x = [], np.ones((8, 1))
        >>> watch = keras.callbacks.LambdaCallback(
        ...     on_train_batch_end=lambda batch, logs: seen.append(model.get_weights()[0][0, 0]))
        >>> callback = WeightAverager("swa", start="2 epochs")
        >>> history = model.fit(x, x, epochs=4, verbose=0, callbacks=[watch, callback])
        >>> bool(np.isclose(model.get_weights()[0][0, 0], (seen[2] + seen[3]) / 2))
        True

    Source: arXiv:1803.05407 (SWA), arXiv:2209.14981 (LAWA)

    Verified against: averages by hand
    """

    fresh = Averages()

    def __init__(
        self,
        kind: Literal["ema", "swa", "lawa"] = "ema",
        decay: Annotated[float, Interval(ge=0, lt=1)] = 0.99,
        window: PositiveInt = 5,
        start: Annotated[int | str, amount_in("epochs", "steps", least=0)] = 0,
        every: EveryCount = "epoch",
        refresh: Any = None,
    ):
        super().__init__()
        self.kind = kind
        self.decay = decay
        self.window = window
        self.start = start
        self.every = every
        self.refresh = refresh
        self._swap: Any = None

    @property
    def needs_batches(self) -> bool:
        return "steps" in (self.parsed("every").unit, self.parsed("start").unit)

    @property
    def averages(self) -> list[np.ndarray]:
        """The averages, in the order of `model.weights`; empty before the first sample.

        Weights that layers overwrite, such as float8 scales, are not averaged or listed.
        """
        if self.kind == "lawa":
            return [np.mean(samples, axis=0) for samples in self.memory.values]
        return list(self.memory.values)

    # -- sampling ---------------------------------------------------------------------------

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Restores the trained weights."""
        super().on_epoch_begin(epoch, logs)
        self._swap.leave()
        if self.memory.trained:
            self._assign(self.memory.trained)
            self.memory = self.memory._replace(trained=())

    @if_needed
    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Samples the weights if `every` is over."""
        if self.count(batch):
            self._sample()

    def sample_epoch(self) -> None:
        """Samples the weights at the end of an epoch, once, if `every` is over."""
        over = self.parsed("every").after_epoch(self._epoch)
        if over and self._epoch != self.memory.sampled:
            self._sample()
            self.memory = self.memory._replace(sampled=self._epoch)

    def _sample(self) -> None:
        if not self.parsed("start").is_past(self.memory.step - 1, self._epoch):
            return
        values: Sequence[Any]
        new, old, n = self._read(), self.memory.values, self.memory.samples + 1
        if self.kind == "lawa":
            past = old or ((),) * len(new)
            values = [(*o, x)[-self.window :] for o, x in zip(past, new, strict=True)]
        elif not old:
            values = new
        else:
            share = 1 / n if self.kind == "swa" else 1 - min(self.decay, n / (n + 9))
            values = [a + share * (x - a) for a, x in zip(old, new, strict=True)]
        self.memory = self.memory._replace(samples=n, values=tuple(values))

    # -- swapping ---------------------------------------------------------------------------

    @contextmanager
    def around_fit(self, model: Any, callbacks: list[Any]) -> Iterator[list[Any]]:
        """Restores the trained weights if `fit` does not reach its end.

        Raises:
            ValueError: If another callback decides what is evaluated, too.
        """
        kinds = (WeightAverager, keras.callbacks.SwapEMAWeights)
        others = [type(x).__name__ for x in callbacks if isinstance(x, kinds) and x is not self]
        allowed = "without another callback that evaluates averages beside `WeightAverager`"
        check(not others, "callbacks", others, allowed)
        try:
            yield callbacks
        except BaseException:
            if self._swap is not None:
                self._swap.leave()
            raise
        finally:
            self._detach(model)

    def on_train_begin(self, logs: Logs = None) -> None:
        """Adds the averages to what the model is evaluated and saved with."""
        super().on_train_begin(logs)
        self._detach(self.model)
        self._swap = WeightSwap(Averaged(self))
        added_to(self.model).append(self._swap)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Samples the weights, and swaps in the averages until the next epoch begins."""
        super().on_epoch_end(epoch, logs)
        if not self.inside_fit:  # in `fit`, the model was given them before all callbacks
            self.sample_epoch()
            self._swap.enter()

    def on_train_end(self, logs: Logs = None) -> None:
        """Keeps the trained weights for a run that resumes; the model has the averages."""
        if not self.memory.samples:
            return
        aside = trained_weights(self.model)
        trained = [ops.convert_to_numpy(aside.get(id(v), v)) for v in self._weights()]
        self.memory = self.memory._replace(trained=tuple(trained))
        averaged = self._swap.swapped and not self._swap.changed()
        if averaged and self.refresh is not None:
            refresh_statistics(self.model, self.refresh)
        if not self.inside_fit:
            self._detach(self.model)

    def _detach(self, model: Any) -> None:
        with suppress(ValueError):
            added_to(model).remove(self._swap)

    # -- weights ----------------------------------------------------------------------------

    def _weights(self) -> list[Any]:
        floats = [v for v in self.model.weights if "float" in str(v.dtype)]
        return [v for v in floats if not is_overwritten(v)]

    def _exact(self) -> list[np.ndarray]:
        return [ops.convert_to_numpy(v) for v in self._weights()]

    def _read(self) -> list[np.ndarray]:
        return [np.array(x, np.promote_types(x.dtype, "float32")) if x.dtype.kind == "f"
                else np.asarray(x, "float32") for x in self._exact()]  # fmt: skip

    def _assign(self, values: Sequence[np.ndarray]) -> None:
        for variable, value in zip(self._weights(), values, strict=True):
            variable.assign(ops.cast(value, variable.dtype))


def refresh_statistics(model: Any, inputs: Any) -> None:
    """Sets batch-normalization statistics to their means over batches of inputs."""
    layers = [x for x in layers_of(model) if hasattr(x, "moving_mean") and hasattr(x, "momentum")]
    before = [layer.momentum for layer in layers]
    weights = {id(v) for v in model.weights}
    others = [v for v in model.variables if id(v) not in weights]  # seeds of the layers
    random = [(v, ops.convert_to_numpy(v)) for v in [*others, *random_variables()]]
    try:
        for place, batch in enumerate(inputs if isinstance(inputs, list) else [inputs]):
            for layer in layers:
                layer.momentum = place / (place + 1)
            model(ops.convert_to_tensor(batch), training=True)
    finally:
        for layer, momentum in zip(layers, before, strict=True):
            layer.momentum = momentum
        for variable, value in random:
            variable.assign(value)
