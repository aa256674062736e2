"""The loss of a train step as a pure function of the weights."""

from contextlib import contextmanager

import keras
from keras.src.backend import compute_output_spec  # calls a function on symbolic tensors
from keras.src.trainers.compile_utils import CompileLoss  # what `compile` makes of `loss`

from keras_gdx.engine.variables.structure import layers_of


def has_loss(model):
    """Whether a model was compiled with a loss, adds one itself, or has its own `compute_loss`."""
    own = type(model).compute_loss is not keras.Model.compute_loss
    return own or model._compile_loss is not None or bool(model.losses)


@contextmanager
def loss_of(model, loss):
    """Context in which `compute_loss` uses `loss`, in any form that `compile` accepts.

    `None` leaves the model's own.
    """
    before = model._compile_loss
    if loss is not None:
        names = getattr(model, "output_names", None)
        model._compile_loss = CompileLoss(loss, output_names=names)
    try:
        yield
    finally:
        model._compile_loss = before


def build(model, x, y, sample_weight):
    """Creates all variables that the loss of a batch needs, without computing anything."""
    x, y, sample_weight = keras.tree.map_structure(_symbolic, (x, y, sample_weight))
    outputs = compute_output_spec(model, x)
    if model._compile_loss is not None:
        compute_output_spec(model._compile_loss, y, outputs, sample_weight)


def _symbolic(tensor):
    return None if tensor is None else keras.KerasTensor(tuple(tensor.shape), tensor.dtype.name)


def training_loss(model, x, y, sample_weight):
    """The loss as `train_step` computes it."""
    outputs = model(x, training=True) if model._call_has_training_arg else model(x)
    return model._compute_loss(x=x, y=y, y_pred=outputs, sample_weight=sample_weight, training=True)


@contextmanager
def in_dtype(model, dtype):
    """Context in which layers, inputs and losses compute in `dtype`; `None` changes nothing.

    Variables keep their dtype: pass other values in a `keras.StatelessScope`.
    """
    if dtype is None:
        yield
        return
    layers = [*layers_of(model), model]
    policies = [layer.dtype_policy for layer in layers]
    inputs = {id(x): x for layer in layers for x in _inputs(layer) if "float" in x.dtype}
    dtypes = {key: x.dtype for key, x in inputs.items()}
    floatx, of_losses = keras.config.floatx(), keras.losses.Loss.dtype
    try:
        for layer in layers:
            layer.dtype_policy = dtype
        for x in inputs.values():
            x._dtype = dtype
        keras.config.set_floatx(dtype)
        keras.losses.Loss.dtype = property(lambda loss: dtype)
        yield
    finally:
        keras.losses.Loss.dtype = of_losses
        keras.config.set_floatx(floatx)
        for key, x in inputs.items():
            x._dtype = dtypes[key]
        for layer, policy in zip(layers, policies, strict=True):
            layer.dtype_policy = policy


def _inputs(layer):
    """The objects whose dtype a model converts its data to."""
    if isinstance(layer, keras.layers.InputLayer):
        return [layer]
    return (getattr(layer, "inputs", None) or ()) if isinstance(layer, keras.Model) else ()
