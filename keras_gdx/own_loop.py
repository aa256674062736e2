"""`TrainingLoop`: what a training loop of one's own needs around its step."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, NamedTuple, Self

import keras

from keras_gdx.arguments import PositiveInt, check, check_type, needs_tensorflow
from keras_gdx.callbacks.base import Callback, Logs
from keras_gdx.checkpoint.snapshot import require_built
from keras_gdx.integration.epochs import close_epoch
from keras_gdx.integration.model_attributes import first_epoch, replicas_of
from keras_gdx.integration.model_building import build_optimizer
from keras_gdx.integration.model_hooks import around_fit, follow, introduced
from keras_gdx.integration.model_optimizers import optimizers_of
from keras_gdx.integration.weight_swap import evaluation_weights

__all__ = ["TrainingLoop"]

TYPES = {
    "model": keras.Model,
    "batch_size": PositiveInt | None,
    "epochs": PositiveInt,
    "steps_per_epoch": PositiveInt | None,
    "shuffle": bool,
}


class TrainingLoop:
    """Everything that `fit` does around its steps, for a loop and a step of your own.

    The loop says what one step is, in plain TensorFlow, compiled or not, and when to evaluate.
    This object does the rest as `fit` would, so that with the same step both end with the same
    weights:

    - `epochs` and `batches` iterate over the data. After the last batch of an epoch an incomplete
      accumulation window is applied, and after the last epoch the model has its evaluation
      weights.
    - `callbacks` run as in `fit`, on what was passed to `log`. With a `ResumableCheckpoint` among
      them, the program can be killed at any time and started again: the loops then begin with
      the epoch and the batch that come next, and end bit for bit as if nothing had happened.
    - Schedules of `schedules.create` get the length of the run.
    - `evaluating` gives the model its averaged weights for a moment.

    The model has the optimizer that it was compiled with, or holds several in attributes, as a GAN
    does. `model.compile(optimizer)` needs no loss. Optimizers of Keras are welcome.

    `break` ends the run, as `model.stop_training` does. After an error the run is interrupted, and
    nothing more is saved. Local variables of the program are not part of a checkpoint: what must
    survive belongs into `log`, whose means are in `history`, into a variable that is an attribute
    of the model, or into a callback with `state` and `restore`.

    Under `MirroredStrategy`, batches have a part for each replica. Pass them to `strategy.run`, and
    divide the sum of the losses of a part by the size of the global batch.

    Args:
        model: Keras model that is built, and has an optimizer. For several networks, a
            `keras.Model()` with the networks and optimizers as attributes.
        x: Data as in `fit`: arrays, a `tf.data.Dataset` of batches or a `keras.utils.PyDataset`.
        y: Targets, as in `fit`.
        sample_weight: Weights of examples, as in `fit`.
        batch_size: Integer >= 1, examples in a batch, of arrays. `None`: 32.
        epochs: Integer >= 1: epochs of the complete run, those before an interruption included.
        steps_per_epoch: Integer >= 1: batches in an epoch. `None`: all of the data.
        shuffle: Whether arrays, or the batches of a `PyDataset`, are shuffled in every epoch.
        callbacks: Keras callbacks. Those that change what is compiled in the middle of a run, such
            as `Unfreezing`, raise an error.

    Attributes:
        history: Dictionary of what was logged: a list of one mean per epoch for each name.
        logs: Dictionary of the means of what was logged in this epoch, by name.

    Raises:
        ValueError: If the model is not built, has no optimizer, was prepared for several
            replicas by `distribute.prepare`, is trained by several workers, or an argument is out
            of its range; later, if another run needs the step compiled again.

    Example:
        >>> import keras, keras_gdx, numpy as np, tensorflow as tf
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile(keras_gdx.optimizers.Adam(0.1, gradient_accumulation_steps=2))
        >>> @tf.function
        ... def train_step(x, y):
        ...     with tf.GradientTape() as tape:
        ...         loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
        ...     gradients = tape.gradient(loss, model.trainable_variables)
        ...     model.optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        ...     return loss
        >>> x = np.random.default_rng(0).normal(size=(80, 3)).astype("float32")
        >>> y = x.sum(axis=1, keepdims=True)
        >>> with keras_gdx.TrainingLoop(model, x, y, batch_size=16, epochs=60) as loop:
        ...     for epoch in loop.epochs():
        ...         for batch in loop.batches():
        ...             loop.log(loss=train_step(*batch))
        >>> int(model.optimizer.iterations), loop.history["loss"][-1] < 0.01
        (180, True)

    Source: by definition

    Verified against: `fit`
    """

    def __init__(
        self,
        model: keras.Model,
        x: Any = None,
        y: Any = None,
        sample_weight: Any = None,
        *,
        batch_size: int | None = None,
        epochs: int = 1,
        steps_per_epoch: int | None = None,
        shuffle: bool = True,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ):
        given = locals()
        for name, hint in TYPES.items():
            check_type(name, given[name], hint)
        check(x is not None, "x", x, "the data to train with")
        needs_tensorflow("TrainingLoop")
        from keras_gdx.distribute.functions import is_multi_worker  # TensorFlow, only now

        check(
            optimizers_of(model),
            "model",
            model.name,
            "compiled, or have its optimizers as attributes",
        )
        require_built(model)
        check(replicas_of(model) is None, "model", model.name, "used in `fit`: it was prepared")
        several = is_multi_worker(model.distribute_strategy)
        check(not several, "model", model.name, "trained by a single worker; `fit` knows several")
        if not model.built:  # it only holds others, and was not compiled
            model.built, model.optimizer = True, getattr(model, "optimizer", None)
        self.model = model
        self._epochs = epochs
        self._given = callbacks
        self._means = Means()
        self._history = keras.callbacks.History()
        self._callbacks: Any = None  # a `CallbackList` while the loop is entered
        self._epoch: int | None = None  # the epoch and the batch that have begun
        self._batch: int | None = None
        self._data = {
            "x": x,
            "y": y,
            "sample_weight": sample_weight,
            "batch_size": batch_size,
            "steps_per_epoch": steps_per_epoch,
            "shuffle": shuffle and not hasattr(x, "element_spec"),  # Keras warns of `tf.data`
        }

    @property
    def logs(self) -> dict[str, float]:
        """The means of what was logged in this epoch, by name."""
        return self._means.memory.means()

    @property
    def history(self) -> dict[str, list[float]]:
        """The means of each epoch, by name."""
        return self._history.history

    # -- the run ------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        from keras_gdx.integration.own_step import Batches, own_step  # TensorFlow, only now

        model = self.model
        self._epoch = self._batch = None
        self._history.history = {}
        follow(model)
        introduced(model)
        with ExitStack() as stack:
            stack.enter_context(own_step(model))
            listed = [self._means, self._history, *self._given]
            callbacks = around_fit(model, listed, dict(self._data), stack)
            build_optimizer(model)
            self._batches = Batches(model, self._data)
            self._batches.announce()
            steps = self._batches.num_batches
            self._callbacks = keras.callbacks.CallbackList(
                callbacks, model=model, epochs=self._epochs, steps=steps, verbose=0
            )
            stack.callback(setattr, self, "_callbacks", None)
            model.stop_training = False
            self._callbacks.on_train_begin()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._stack:
            if error is not None:  # interrupted
                return
            if self._epoch is not None:  # the program has left the loop over epochs
                self.model.stop_training = True
                self._close_epoch()
            if self.model.optimizer is not None:
                self.model.optimizer.finalize_variable_values(self.model.trainable_weights)
            self._callbacks.on_train_end({name: means[-1] for name, means in self.history.items()})

    def epochs(self) -> Iterator[int]:
        """Yields the number of each epoch that is not complete yet, the first being 0."""
        check(self._callbacks, "epochs", "a loop that was not entered", "used in `with`")
        for epoch in range(first_epoch(self.model), self._epochs):
            self.model.reset_metrics()
            self._callbacks.on_epoch_begin(epoch)
            self._epoch, self._left = epoch, self._batches.of_epoch()
            yield epoch
            self._close_epoch()
            if self.model.stop_training:
                break

    def batches(self) -> Iterator[Any]:
        """Yields the batches of the current epoch that were not trained on yet.

        A batch has the structure of the data, such as a pair of inputs and targets. It counts as
        trained on when the next one is asked for. A second call goes on where the first was left.
        """
        check(self._epoch is not None, "batches", "outside of an epoch", "used inside `epochs`")
        self._close_batch()
        for index, batch in self._left:
            self._callbacks.on_train_batch_begin(index)
            self._batch = index
            yield batch
            self._close_batch()
            if self.model.stop_training:
                break
        close_epoch(self.model)

    def log(self, **values: Any) -> None:
        """Adds numbers to the means of this epoch, which callbacks and `history` get.

        Args:
            **values: Numbers or scalar tensors, by name: of a batch, or once in an epoch.
        """
        self._means.add(values)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Context in which the model has the weights to evaluate with.

        These are the averages of `use_ema`, of rules such as `ScheduleFreeAdamW` and of a
        `WeightAverager`. On exit the trained weights are restored, bit for bit.
        """
        with evaluation_weights(self.model, averages=True):
            yield

    def _close_batch(self) -> None:
        batch, self._batch = self._batch, None
        if batch is not None:
            self._callbacks.on_train_batch_end(batch, self.logs)

    def _close_epoch(self) -> None:
        self._close_batch()
        close_epoch(self.model)
        epoch, self._epoch = self._epoch, None
        self._callbacks.on_epoch_end(epoch, {})


class Sums(NamedTuple):
    """The state of `Means`.

    Attributes:
        sums: The sum of what was logged in this epoch, by name.
        counts: How many numbers that are.
    """

    sums: Mapping[str, float] = {}
    counts: Mapping[str, int] = {}

    def means(self) -> dict[str, float]:
        """The means, by name."""
        return {name: total / self.counts[name] for name, total in self.sums.items()}


class Means(Callback):
    """Collects what is logged in an epoch; at its end, the means are the logs of all callbacks."""

    fresh = Sums()

    def add(self, values: Mapping[str, Any]) -> None:
        """Adds numbers, by name."""
        sums, counts = dict(self.memory.sums), dict(self.memory.counts)
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + float(value)
            counts[name] = counts.get(name, 0) + 1
        self.memory = Sums(sums, counts)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Fills the logs, and begins anew."""
        if logs is not None:
            logs.clear()  # `ResumableCheckpoint` adds metrics, of which `fit` takes its logs
            logs.update(self.memory.means())
        self.memory = self.fresh
