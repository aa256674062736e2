"""Exports a SavedModel that predicts and continues training with TensorFlow alone."""

from os import PathLike
from typing import Any

import keras
from keras import ops, tree

from keras_gdx.arguments import check
from keras_gdx.integration.model_optimizers import optimizers_of, ours, wrapped

__all__ = ["export"]


def export(
    model: keras.Model, path: str | PathLike[str], inputs: Any = None, targets: Any = None
) -> None:
    """Writes a SavedModel with the functions `serve` and `train_step`.

    A program without Keras and this package can continue training with it:

        loaded = tf.saved_model.load(path)
        loss = loaded.train_step(x, y, learning_rate)["loss"]
        y = loaded.serve(x)

    `train_step` does what `fit` does with one batch: loss, penalties, gradients, and the optimizer
    with all its options and state. If the learning rate is a single number, it is an argument.
    If it follows a schedule, or a `MultiOptimizer` has several, the function uses its own. An open
    accumulation window stays open. `serve` uses the evaluation weights: the moving averages, if the
    optimizer keeps them. Both are also signatures, for TensorFlow Serving, unless inputs or targets
    are structures.

    Args:
        model: A built and compiled Keras model whose optimizer is one of this package.
        path: Folder to write.
        inputs: `tf.TensorSpec` of the inputs, or a structure of them. `None`: the model's own,
            which a subclassed model does not have.
        targets: The same for the targets. `None`: like the outputs, in float32; for losses named
            `Sparse...`, in int64 without the last axis.

    Raises:
        ValueError: If the model is not built or not compiled, its optimizer is not one of this
            package or has sharded state (`shard_state`), or inputs or targets are unknown.
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
    check(isinstance(model, keras.Model) and model.built, "model", model, "a built Keras model")
    check(getattr(model, "compiled", False), "model", model, "compiled")
    others = ", ".join(name for name in optimizers_of(model) if name)
    check(not others, "model", model, f"trained by its compiled optimizer alone, not by {others}")
    model.optimizer.build(model.trainable_variables)  # creates the parts of a `MultiOptimizer`
    optimizers = ours(model)
    check(optimizers, "model", model, "compiled with an optimizer of keras_gdx")
    shared_out = any(
        bucket.replicas > 1 for x in optimizers if x.built for bucket in x.state.buckets
    )
    check(not shared_out, "model", model, "loaded outside a strategy, with unsharded state")
    swapped = [x for x in optimizers if x.weight_swap.swapped]
    for optimizer in swapped:  # the exported model continues from the trained weights
        optimizer.weight_swap.leave()
    try:
        _write(model, path, inputs, targets)
    finally:
        for optimizer in swapped:
            optimizer.weight_swap.enter()


def _write(model, path, inputs, targets):
    import tensorflow as tf

    optimizer = model.optimizer
    inputs = _specs("x", "inputs", inputs, _tensors(model, "input"), False)
    targets = _specs("y", "targets", targets, _tensors(model, "output"), _sparse(model))
    settable = _with_a_rate(ours(model))

    def serve(x):
        shown = {}
        for each in (x for x in ours(model) if x.built):
            moved = each.model_variables  # some may be frozen since
            if (values := each.weight_swap.values(moved)) is not None:
                pairs = zip(moved, values, strict=True)
                shown.update({id(v): ops.cast(value, v.dtype) for v, value in pairs})
        if not shown:
            return model(x, training=False)
        kinds = model.trainable_variables, model.non_trainable_variables
        values = ([shown.get(id(v), v.value) for v in kind] for kind in kinds)
        return model.stateless_call(*values, x, training=False)[0]

    def train_step(x, y, learning_rate=None):
        if settable:
            settable.set_rate(learning_rate)
        with tf.GradientTape() as tape:
            outputs = model(x, training=True)
            loss = model.compute_loss(x=x, y=y, y_pred=outputs, training=True)
            scaled = optimizer.scale_loss(loss)
        if trained := model.trainable_variables:
            optimizer.apply(tape.gradient(scaled, [v.value for v in trained]), trained)
        return {"loss": loss}

    module = tf.Module()
    module.kept = [v.value for v in (*model.variables, *optimizer.variables)]
    rate = [tf.TensorSpec((), tf.float32, "learning_rate")] if settable else []
    module.serve = tf.function(serve, [inputs], autograph=False)
    module.train_step = tf.function(train_step, [inputs, targets, *rate], autograph=False)
    flat = all(isinstance(spec, tf.TensorSpec) for spec in (inputs, targets))
    signatures = {"serve": module.serve, "train_step": module.train_step} if flat else None
    tf.saved_model.save(module, path, signatures=signatures)


def _specs(name, argument, given, tensors, sparse):
    """The argument's specification: the given one, or that of the model's own tensors."""
    import tensorflow as tf

    if given is not None:
        return given
    check(tensors is not None, argument, None, "given, because the model has no symbolic ones")

    def spec(tensor):
        if sparse:
            return tf.TensorSpec(tensor.shape[:-1], tf.int64, name)
        return tf.TensorSpec(tensor.shape, tensor.dtype if name == "x" else tf.float32, name)

    return tree.map_structure(spec, tensors)


def _tensors(model, side):
    """The symbolic inputs or outputs, in the model's structure; `None` if there are none."""
    several = getattr(model, f"{side}s", None) or [None]
    return getattr(model, side, several[0] if len(several) == 1 else several)


def _sparse(model):
    """Whether targets are class indices."""
    loss = model.loss
    return str(getattr(loss, "name", loss)).lower().startswith("sparse")


def _with_a_rate(optimizers):
    """The only optimizer, if there is just one and its rate is a number; otherwise `None`."""
    parts = {id(getattr(x, part)) for x in optimizers for part in x.parts}
    wrappers = {id(x) for x in optimizers if wrapped(x)}
    own = [x for x in optimizers if id(x) not in parts | wrappers]
    return own[0] if len(own) == 1 and "learning_rate" in own[0].rate_variables() else None
