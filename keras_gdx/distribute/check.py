"""Finds what plain Keras would do wrong with a model on several replicas."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras.src.utils.rng_utils import get_random_seed  # all workers must have the same seed

from keras_gdx.arguments import check as check_argument
from keras_gdx.distribute.added_losses import adding, sums
from keras_gdx.distribute.scope import outside, some
from keras_gdx.distribute.statistics import statistics_of
from keras_gdx.engine.variables.structure import layer_paths
from keras_gdx.integration.model_optimizers import all_optimizers, ours

__all__ = ["Remark", "check"]

Found = Iterator[tuple[str, str, str]]  # what each `Remark` is made of


class Remark(NamedTuple):
    """One property of a model that plain Keras mishandles on several replicas.

    Attributes:
        what: The property, with the names of layers or arguments.
        keras: What Keras 3.15 does.
        here: What a prepared model does.
    """

    what: str
    keras: str
    here: str

    def __str__(self) -> str:
        return f"{self.what}\n  Keras: {self.keras}\n  here:  {self.here}"


def check(model: keras.Model) -> list[Remark]:
    """Lists what plain Keras would do wrong with this model on several replicas.

    Most of these errors are silent. Call it before training; the model need not be prepared or
    created in the scope of a strategy, and is not changed. Print the remarks to read them.

    Args:
        model: Compiled Keras model.

    Returns:
        A list of `Remark(what, keras, here)`. `here` says what to do if `prepare` cannot help.

    Raises:
        ValueError: If `model` is not a compiled Keras model.

    Example:
        >>> import keras, keras_gdx
        >>> drop = keras.layers.Dropout(0.5, name="drop")
        >>> model = keras.Sequential([keras.Input((4,)), drop, keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.Adam(clipnorm=1.0), "mse")
        >>> for remark in keras_gdx.distribute.check(model):
        ...     print(remark.what)
        batches that do not divide by the number of replicas
        Adam of Keras
        clipnorm of Adam
        random numbers in drop

    Verified against: fits on two replicas, in `tests/defects`
    """
    check_argument(isinstance(model, keras.Model), "model", model, "a Keras model")
    check_argument(model.compiled, "model", model.name, "compiled")
    return [
        Remark(*found)
        for inspect in (_setting, _losses, _optimizers, _layers, _execution)
        for found in inspect(model)
    ]


def _setting(model: keras.Model) -> Found:
    strategy = model.distribute_strategy
    if keras.distribution.distribution() is not None:
        yield (
            "keras.distribution",
            "trains on one device and does not say so",
            "the same: use keras_gdx.distribute.strategy instead",
        )
    if apart := outside(model):
        yield (
            f"made outside of strategy.scope(): {some(apart)}",
            "an exception, or one copy that all replicas write",
            "an error: make model and optimizer inside of the scope",
        )
    if strategy.extended._in_multi_worker_mode() and get_random_seed() is None:
        yield (
            "no seed",
            "each worker shuffles in its own way, and examples are left out",
            "an error: call keras.utils.set_random_seed on all workers",
        )
    yield (
        "batches that do not divide by the number of replicas",
        "the last batch is a mean of means; an exception if it is the first",
        "each replica counts for the examples that it has",
    )


def _losses(model: keras.Model) -> Found:
    if type(model).train_step is not keras.Model.train_step:
        yield (
            f"train_step of {type(model).__name__}",
            "gradients times the number of replicas, unless it divides its loss",
            "right if it calls self.compute_loss or a keras.losses.Loss, and an error if not; "
            "terms written by hand count as means over the examples",
        )
    if type(model).compute_loss is not keras.Model.compute_loss:
        yield (
            f"compute_loss of {type(model).__name__}",
            "gradients times the number of replicas",
            "a mean over each replica's examples, times their share",
        )
    if added := adding(model):
        summed = set(sums(model))
        if means := [path for path in added if path not in summed]:
            yield (
                f"add_loss in {some(means)}",
                "counts as many times as there are replicas",
                "counts as a mean over the examples",
            )
        if summed:
            yield (
                f"add_loss of a sum over the examples in {some(sorted(summed))}",
                "right",
                "an error: divide it by the number of examples",
            )
    for loss in keras.tree.flatten(model.loss):
        name = getattr(loss, "name", None) or getattr(loss, "__name__", str(loss))
        if getattr(loss, "reduction", None) == "mean_with_sample_weight":
            yield (
                f"mean_with_sample_weight of {name}",
                "each replica divides by its own weights",
                "all divide by the weights of all",
            )
        if _is_scalar(loss, model):
            yield (
                f"{name} returns a scalar",
                "gradients times the number of replicas",
                "computed from the outputs of all replicas, on each",
            )


def _optimizers(model: keras.Model) -> Found:
    for optimizer in all_optimizers(model):
        if optimizer in ours(model):
            continue
        name = type(optimizer).__name__
        yield (
            f"{name} of Keras",
            "every replica moves its weights by what it has done with its own gradient",
            "taken over: one reduction comes first; state, arguments and saved form are the same",
        )
        for argument in ("clipnorm", "global_clipnorm", "clipvalue"):
            if getattr(optimizer, argument, None) is not None:
                yield (
                    f"{argument} of {name}",
                    "each replica clips for itself: steps are longer than asked",
                    "the reduced gradient is clipped",
                )
        for argument in ("gradient_accumulation_steps", "ema_overwrite_frequency"):
            if getattr(optimizer, argument, None):
                yield f"{argument} of {name}", "an exception", "works, in Keras' way of counting"
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            yield (
                f"loss scaling of {name}",
                "one replica is asked for infinities: others reach the weights, or workers hang",
                "all replicas are asked",
            )


def _layers(model: keras.Model) -> Found:
    random, masking, averaging = [], [], []
    statistics = {id(v) for v in statistics_of(model)}
    for path, layer in layer_paths(model).items():
        if any(isinstance(x, keras.random.SeedGenerator) for x in vars(layer).values()):
            random.append(path)
        if getattr(layer, "mask_zero", False) or isinstance(layer, keras.layers.Masking):
            masking.append(path)
        own = [v for v in vars(layer).values() if isinstance(v, keras.Variable)]
        if statistics & {id(v) for v in own}:
            averaging.append(path)
    if random:
        yield f"random numbers in {some(random)}", "the same on all replicas", "each draws its own"
    if masking:
        yield (
            f"masks of {some(masking)}",
            "each replica divides its loss by what its own mask leaves",
            "all divide by what all masks leave",
        )
    if averaging:
        yield (
            f"statistics of {some(averaging)}",
            "those of the first replica are saved; one without examples makes NaN of its weights",
            "their mean over replicas, before anything looks at them",
        )


def _execution(model: keras.Model) -> Found:
    if model.steps_per_execution > 1:
        yield "steps_per_execution", "an exception", "works"
    if model.jit_compile is True:
        yield (
            "jit_compile",
            "an exception",
            "forward and backward are compiled in every replica, where they need not talk",
        )


def _is_scalar(loss: Any, model: keras.Model) -> bool:
    """Whether a function given as a loss returns one number for a whole batch."""
    outputs = keras.tree.flatten(getattr(model, "outputs", None) or [])
    if isinstance(loss, (str, keras.losses.Loss)) or not callable(loss) or not outputs:
        return False
    spec = tf.TensorSpec((2, *outputs[0].shape[1:]), outputs[0].dtype)
    try:
        return tf.function(loss).get_concrete_function(spec, spec).output_shapes.rank == 0
    except Exception:  # targets of another shape or dtype, which are not known here
        return False
