"""Exports a SavedModel that predicts and continues training with TensorFlow alone."""

from os import PathLike
from typing import Any

import keras
from keras import tree

from keras_gdx.arguments import check, check_built
from keras_gdx.checkpoint.batch_specs import inputs_of, targets_of
from keras_gdx.integration.kept_direction import direction_variables
from keras_gdx.integration.keras_optimizer import KerasOptimizer
from keras_gdx.integration.model_optimizers import all_optimizers, inside, ours

__all__ = ["export"]


def export(
    model: keras.Model, path: str | PathLike[str], inputs: Any = None, targets: Any = None
) -> None:
    """Writes a SavedModel with the functions `serve` and `train_step`.

    A program without Keras and this package can continue training with it:

        loaded = tf.saved_model.load(path)
        loss = loaded.train_step(x, y, learning_rate)["loss"]
        y = loaded.serve(x)

    `train_step` is the model's own, and does what `fit` does with one batch: loss, penalties,
    gradients, and the optimizer with all its options and state. It returns the logs of this batch,
    `loss` and the metrics. If the learning rate is a single number, it is an argument. If it
    follows a schedule, or there are several, the function uses its own. An open accumulation window
    stays open. A model without a loss has `()` for targets.

    `serve` uses the evaluation weights: the moving averages, if the optimizer keeps them. As with
    `model.export`, both are also signatures for TensorFlow Serving, where `serve` is the default,
    and the loaded model has `variables`, here with `optimizer_variables`.

    Args:
        model: A built and compiled Keras model with an optimizer of this package.
        path: Folder to write.
        inputs: `tf.TensorSpec` of the inputs, or a structure of them. `None`: the model's own.
        targets: The same for the targets. `None`: like the outputs that have a loss; for losses of
            labels, such as `SparseCategoricalCrossentropy`, in int64 without the last axis.

    Raises:
        ValueError: If the model is not built or not compiled, no optimizer is one of this package,
            one has sharded state (`shard_state`), inputs or targets are unknown, or `train_step`
            fails with them.
        ImportError: If Keras does not run on TensorFlow.

    Example:
        >>> import keras, keras_gdx, numpy as np, tempfile
        >>> import tensorflow as tf
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile(keras_gdx.optimizers.AdamW(1e-3), "mse")
        >>> path = tempfile.mkdtemp()
        >>> keras_gdx.export(model, path)
        >>> loaded = tf.saved_model.load(path)
        >>> x, y = tf.ones((4, 2)), tf.ones((4, 1))
        >>> losses = [float(loaded.train_step(x, y, 0.1)["loss"]) for _ in range(20)]
        >>> losses[-1] < losses[0]
        True
    """
    if keras.backend.backend() != "tensorflow":
        raise ImportError("`keras_gdx.export` needs Keras on TensorFlow.")
    check_built(model)
    check(getattr(model, "compiled", False), "model", model, "compiled")
    trained_by = _trained_by(model)
    optimizers = [x for x in trained_by if isinstance(x, KerasOptimizer)]
    check(optimizers, "model", model, "compiled with an optimizer of keras_gdx")
    shared_out = any(
        bucket.replicas > 1 for x in optimizers if x.built for bucket in x.state.buckets
    )
    check(not shared_out, "model", model, "loaded outside a strategy, with unsharded state")
    swapped = [x for x in ours(model) if x.weight_swap.swapped]
    for optimizer in swapped:  # the exported model continues from the trained weights
        optimizer.weight_swap.leave()
    try:
        _write(model, path, inputs, targets, _with_a_rate(trained_by))
    finally:
        for optimizer in swapped:
            optimizer.weight_swap.enter()


def _trained_by(model):
    """The optimizers that the train step may use, and those inside them."""
    if type(model).train_step is not keras.Model.train_step:
        return all_optimizers(model)
    if model.optimizer:
        model.optimizer.build(model.trainable_variables)  # creates the parts of a `MultiOptimizer`
    return [*inside(model.optimizer)]


def _with_a_rate(optimizers):
    """The only optimizer, if there is just one and its rate is a number; otherwise `None`."""
    single = [x for x in optimizers if len([*inside(x)]) == 1]
    if len(single) == 1 and isinstance(single[0], KerasOptimizer):
        return single[0] if "learning_rate" in single[0].rate_variables() else None
    return None


def _write(model, path, inputs, targets, settable):
    """Writes the SavedModel; `settable` is the optimizer whose rate is an argument, or `None`."""
    import tensorflow as tf

    inputs = inputs_of(model) if inputs is None else inputs
    targets = targets_of(model, inputs) if targets is None else targets
    rate = [tf.TensorSpec((), tf.float32, "learning_rate")] if settable else []

    def serve(x):
        return _evaluated(model, x)

    def train_step(x, y, learning_rate=None):
        if settable:
            settable.set_rate(learning_rate)
        model.reset_metrics()
        logs = model.train_step((x, y) if tree.flatten(y) else (x,))
        model.reset_metrics()  # those too that the step has only now created
        return logs

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", serve, [inputs])
    step = archive.add_endpoint("train_step", train_step, [inputs, targets, *rate])
    try:
        step.get_concrete_function()
    except Exception as error:
        raise ValueError(
            f"The `train_step` of {type(model).__name__} cannot be exported for targets of "
            f"{targets}. Pass the `targets` that the model is trained with, or write `serve` "
            f"alone with `model.export`. The reason: {error}"
        ) from error
    state = [v.value for x in all_optimizers(model) for v in x.variables]
    state += [v.value for v in direction_variables(model)]
    archive.add_variable_collection("optimizer_variables", state)
    archive.write_out(path, verbose=False)


def _evaluated(model, x):
    """The outputs with the evaluation weights."""
    shown: list = []
    for each in (x for x in ours(model) if x.built):
        moved = each.model_variables  # some may be frozen since
        if (values := each.weight_swap.values(moved)) is not None:
            shown += zip(moved, values, strict=True)
    if not shown:
        return model(x, training=False)
    with _Shown(shown) as scope:
        outputs = model(x, training=False)
    scope.write()
    return outputs


class _Shown(keras.StatelessScope):
    """Context in which variables have other values; what is written to the rest is collected.

    Args:
        values: Pairs of a Keras variable and its value.
    """

    def __init__(self, values):
        super().__init__(values)
        self._replaced = {id(v) for v, _ in values}
        self._updates: dict = {}

    def add_update(self, update):
        """Called by Keras for each assignment of a value to a variable."""
        super().add_update(update)
        self._updates[id(update[0])] = update

    def write(self):
        """Assigns what was collected, such as the state of a recurrent layer."""
        for key, (variable, value) in self._updates.items():
            if key not in self._replaced:
                variable.assign(value)
