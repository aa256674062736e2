"""The shapes and dtypes of the batches that a model is trained on."""

import keras
from keras import losses, tree

from keras_gdx.arguments import check

LABELS = {  # losses of labels, which do not have the shape of the outputs
    losses.sparse_categorical_crossentropy: lambda shape: shape[:-1],
    losses.categorical_generalized_cross_entropy: lambda shape: shape[:-1],
    losses.circle: lambda shape: shape[:-1],
    losses.ctc: lambda shape: (shape[0], None),
}
SHORT = ("ce", "crossentropy")  # Keras chooses one by the targets


def inputs_of(model):
    """The inputs of a built model: symbolic tensors or `tf.TensorSpec`, in its structure.

    Raises:
        ValueError: If the model has no `Input`, and was called with several arguments or never.
    """
    import tensorflow as tf

    if (symbols := _symbols(model, "input")) is not None:
        return symbols
    shapes = (model.get_build_config() or {}).get("input_shape")
    check(shapes is not None, "inputs", None, "given, because the model has no symbolic ones")
    return tree.map_shape_structure(
        lambda shape: tf.TensorSpec((None, *shape[1:]), model.input_dtype), shapes
    )


def targets_of(model, inputs):
    """The targets of a compiled model: `tf.TensorSpec`, in the structure of its outputs.

    Outputs without a loss have no targets. If there is no loss at all, this is `()`.

    Raises:
        ValueError: If the losses are not one for each output.
    """
    if model.loss is None:
        return ()
    outputs = _symbols(model, "output")
    if outputs is None:
        symbols = tree.map_structure(
            lambda x: keras.KerasTensor(tuple(x.shape), x.dtype.name), inputs
        )
        outputs = model.compute_output_spec(symbols)
    if not tree.is_nested(outputs):
        return _target("y", outputs, tree.flatten(model.loss)[0])
    named = isinstance(outputs, dict)
    count = len(outputs)
    names = sorted(outputs) if named else getattr(model, "output_names", None) or range(count)
    given = model.loss if tree.is_nested(model.loss) else [model.loss] * count
    paired = isinstance(given, dict) or len(given) == count
    check(paired, "model", model, f"compiled with one loss for each of its {count} outputs")
    loss_of = given if isinstance(given, dict) else dict(zip(names, given, strict=True))
    targets = {
        name: _target(f"y_{name}", output, loss_of[name])
        for name, output in zip(names, map(outputs.get, names) if named else outputs, strict=True)
        if loss_of.get(name) is not None
    }
    return targets if named else [*targets.values()]


def _target(name, output, loss):
    import tensorflow as tf

    flat = not tree.is_nested(output) and not tree.is_nested(loss)
    check(flat, "targets", None, "given for a model with nested outputs")
    short = isinstance(loss, str) and loss.lower() in SHORT
    function = loss if short else losses.get(loss)
    shape_of = LABELS.get(getattr(function, "fn", function))
    if shape_of:
        return tf.TensorSpec(shape_of(output.shape), "int64", name)
    return tf.TensorSpec(output.shape, keras.config.floatx(), name)


def _symbols(model, side):
    """The symbolic inputs or outputs, in the model's structure; `None` if there are none."""
    several = getattr(model, f"{side}s", None) or [None]
    return getattr(model, side, several[0] if len(several) == 1 else several)
