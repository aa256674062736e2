"""Weight averaging over epochs or batches: EMA, SWA and LAWA."""

from typing import NamedTuple

import numpy as np
from keras import ops

from keras_gdx.callbacks.base import Counting
from keras_gdx.config import check_choice, check_integer, check_number
from keras_gdx.engine.state.state import is_overwritten
from keras_gdx.engine.variables.structure import layers_of
from keras_gdx.integration.random_state import random_variables
from keras_gdx.registry import register

__all__ = ["WeightAverager"]


class Averages(NamedTuple):
    """The state of a `WeightAverager`.

    Attributes:
        step: Batches of the run so far, if `every` is a number of batches.
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
    values: tuple = ()
    trained: tuple = ()


@register
class WeightAverager(Counting):
    r"""Averages weights; validates with the averages and leaves them in the model.

    The samples are the weights $w_1, w_2, \dots$ at the end of each epoch, or every `every`
    batches:

    - `"ema"`: $a_n = d_n a_{n-1} + (1 - d_n) w_n$, $d_n = \min(d, n / (n + 9))$, which gives
      early samples less weight.
    - `"swa"`: the mean of all samples since `start`. (With `every=1` this is tail averaging.)
    - `"lawa"`: the mean of the last `window` samples.

    All floating-point weights are averaged, including batch-normalization statistics, which
    `refresh` recomputes from data. Validation in `fit` uses the averages, after which the
    trained weights are restored, bit for bit. After `fit` the model has the averages; a resumed
    `fit` (`restore(state())`, or `ResumableCheckpoint`) starts from the trained weights.

    The averages are stored on the host, in at least float32. To average in every update, the
    optimizers' `use_ema` is cheaper: it runs on the device, in the compiled step.

    Args:
        kind: `"ema"`, `"swa"` or `"lawa"`.
        decay: Number in [0, 1), $d$ of `"ema"`.
        window: Integer >= 1, number of samples that `"lawa"` averages.
        start: Integer >= 0, the first epoch that is sampled, counted from 0.
        every: `"epoch"`, or an integer >= 1: batches between two samples.
        refresh: Inputs of the model, one batch or a list of batches, from which the
            batch-normalization statistics are recomputed at the end; `None` keeps their average.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import WeightAverager
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> seen, x = [], np.ones((8, 1))
        >>> watch = keras.callbacks.LambdaCallback(
        ...     on_epoch_end=lambda epoch, logs: seen.append(model.get_weights()[0][0, 0]))
        >>> average = WeightAverager("swa", start=2)
        >>> history = model.fit(x, x, epochs=4, verbose=0, callbacks=[watch, average])
        >>> bool(np.isclose(model.get_weights()[0][0, 0], (seen[2] + seen[3]) / 2))
        True

    Source: 1803.05407 (SWA), 2209.14981 (LAWA)

    Verified against: averages by hand
    """

    fresh = Averages()

    def __init__(self, kind="ema", decay=0.99, window=5, start=0, every="epoch", refresh=None):
        super().__init__()
        check_choice("kind", kind, ("ema", "swa", "lawa"))
        check_number("decay", decay, 0, 1, open_high=True)
        check_integer("window", window, 1)
        check_integer("start", start, 0)
        if every != "epoch":
            check_integer("every", every, 1)
        self.kind = kind
        self.decay = decay
        self.window = window
        self.start = start
        self.every = every
        self.refresh = refresh
        self._aside = None
        # set here, not on the class: with any batch hook, Keras waits for every batch
        if every != "epoch":
            self.on_train_batch_end = self._after_batch

    @property
    def averages(self):
        """The averages, in the order of `model.weights`; empty before the first sample.

        Weights that layers overwrite, such as float8 scales, are not averaged or listed.
        """
        if self.kind == "lawa":
            return [np.mean(samples, axis=0) for samples in self.memory.values]
        return list(self.memory.values)

    # -- sampling ---------------------------------------------------------------------------

    def on_epoch_begin(self, epoch, logs=None):
        """Restores the trained weights when a run resumes."""
        super().on_epoch_begin(epoch, logs)
        self._epoch = epoch
        if self.memory.trained:
            self._assign(self.memory.trained)
            self.memory = self.memory._replace(trained=())

    def _after_batch(self, batch, logs=None):
        if self.count(batch) and self._epoch >= self.start:
            self._sample()

    def _at_end_of_epoch(self):
        if (
            self.every == "epoch"
            and self._epoch >= self.start
            and self._epoch != self.memory.sampled
        ):
            self._sample()
            self.memory = self.memory._replace(sampled=self._epoch)

    def _sample(self):
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

    def on_test_begin(self, logs=None):
        """Swaps in the averages for validation."""
        self._at_end_of_epoch()
        if self.memory.samples:
            self._aside = self._exact()
            self._assign(self.averages)

    def on_test_end(self, logs=None):
        """Ends the validation with the averages."""
        self.undo()

    def undo(self):
        """Restores the trained weights."""
        if self._aside is not None:
            self._assign(self._aside)
            self._aside = None

    def on_epoch_end(self, epoch, logs=None):
        """Samples the weights, unless `on_test_begin` did."""
        super().on_epoch_end(epoch, logs)
        self._at_end_of_epoch()

    def on_train_end(self, logs=None):
        """Leaves the averages in the model."""
        if not self.memory.samples:
            return
        trained = self.memory.trained or tuple(self._exact())
        self.memory = self.memory._replace(trained=trained)
        self._assign(self.averages)
        if self.refresh is not None:
            refresh_statistics(self.model, self.refresh)

    # -- weights ----------------------------------------------------------------------------

    def _weights(self):
        floats = [v for v in self.model.weights if "float" in str(v.dtype)]
        return [v for v in floats if not is_overwritten(v)]

    def _exact(self):
        return [ops.convert_to_numpy(v) for v in self._weights()]

    def _read(self):
        return [np.array(x, np.promote_types(x.dtype, "float32")) if x.dtype.kind == "f"
                else np.asarray(x, "float32") for x in self._exact()]  # fmt: skip

    def _assign(self, values):
        for variable, value in zip(self._weights(), values, strict=True):
            variable.assign(ops.cast(value, variable.dtype))


def refresh_statistics(model, inputs):
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
