"""A SavedModel that answers, and goes on learning, with TensorFlow alone."""

import keras
from keras import ops, tree

from keras_gdx.config import check
from keras_gdx.integration.model_optimizers import optimizers_of, ours

__all__ = ["export"]


def export(model, path, inputs=None, targets=None):
    """Writes a SavedModel with the functions `serve` and `train_step`.

    A program that has neither Keras nor this package goes on training with it:

        loaded = tf.saved_model.load(path)
        loss = loaded.train_step(x, y, learning_rate)["loss"]
        y = loaded.serve(x)

    `train_step` is one batch of `fit`: loss, penalties, gradients, the optimizer with all its
    options and its state. If the learning rate is one number it is an argument; if it follows a
    schedule, or a `MultiOptimizer` has several, what there is stays inside. An accumulation
    window that is open stays open. `serve` answers with the weights to evaluate with: averages,
    where the optimizer keeps such. Both are signatures too, for TensorFlow Serving.

    Args:
        model: A built and compiled Keras model whose optimizer is one of this package.
        path: Folder to write.
        inputs: `tf.TensorSpec` of the inputs, or a structure of them. `None`: those of the model,
            which a subclassed model does not know.
        targets: The same for the targets. `None`: those of the outputs, float32; for losses
            called `Sparse...` int64 without the last axis.

    Raises:
        ValueError: If the model is not built or not compiled, its optimizer is none of this
            package or has its state in pieces (`shard_state`), or inputs or targets are unknown.
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
    model.optimizer.build(model.trainable_variables)  # a `MultiOptimizer` has its parts now
    optimizers = ours(model)
    check(optimizers, "model", model, "compiled with an optimizer of keras_gdx")
    shared_out = any(
        bucket.replicas > 1 for x in optimizers if x.built for bucket in x.state.buckets
    )
    check(not shared_out, "model", model, "loaded outside of a strategy, which has its state whole")
    swapped = [x for x in optimizers if x.weight_swap.swapped]
    for optimizer in swapped:  # training goes on from the trained weights
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
            moved = each.model_variables  # some of them may be frozen by now
            if (values := each.evaluation_values(moved)) is not None:
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
    """What a function of the SavedModel takes: as given, or as the model's own tensors say."""
    import tensorflow as tf

    if given is not None:
        return given
    check(tensors is not None, argument, None, "given for a model that does not know its own")

    def spec(tensor):
        if sparse:
            return tf.TensorSpec(tensor.shape[:-1], tf.int64, name)
        return tf.TensorSpec(tensor.shape, tensor.dtype if name == "x" else tf.float32, name)

    return tree.map_structure(spec, tensors)


def _tensors(model, side):
    """The symbolic inputs or outputs, in the model's own structure; `None` if there are none."""
    several = getattr(model, f"{side}s", None) or [None]
    return getattr(model, side, several[0] if len(several) == 1 else several)


def _sparse(model):
    """Whether targets are numbers of classes."""
    loss = model.loss
    return str(getattr(loss, "name", loss)).lower().startswith("sparse")


def _with_a_rate(optimizers):
    """The one optimizer whose rate is a number and no other's; `None` if there is not just one."""
    parts = {id(getattr(x, part)) for x in optimizers for part in x.parts}
    wrappers = {id(x) for x in optimizers if hasattr(x, "inner") and "inner" not in x.parts}
    own = [x for x in optimizers if id(x) not in parts | wrappers]
    return own[0] if len(own) == 1 and "learning_rate" in own[0].rate_variables() else None
