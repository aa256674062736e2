"""Builds models, optimizers and metrics before the first step, in which Keras builds them.

Callbacks that copy, mask or restore the weights of a model without `Input` need them before the
first callback begins. And TensorFlow traces a step again in which variables were created.
"""

from contextlib import contextmanager, nullcontext
from functools import partial, wraps

import keras

from keras_gdx.backends import backend
from keras_gdx.engine.variables.structure import layers_of
from keras_gdx.integration.kept_direction import build as build_direction


@contextmanager
def on_data(model, listener, unbuilt=False):
    """Context in which `listener` is called with the data of the next `fit` of `model`.

    Args:
        model: The model.
        listener: Function of Keras' epoch iterator of the data, called once, before the callbacks
            of `fit` begin.
        unbuilt: Whether to call it before Keras builds the model and its optimizer.
    """
    before = {k: v for k, v in vars(model).items() if k == "_maybe_symbolic_build"}
    original = model._maybe_symbolic_build
    told: list = []

    def build(iterator=None, data_batch=None):
        due = iterator is not None and not told
        if due:
            told.append(iterator)
        if due and unbuilt:
            listener(iterator)
        original(iterator=iterator, data_batch=data_batch)
        if due and not unbuilt:
            listener(iterator)

    vars(model)["_maybe_symbolic_build"] = build
    try:
        yield
    finally:
        vars(model).pop("_maybe_symbolic_build", None)
        vars(model).update(before)


@contextmanager
def building(model, callbacks):
    """Context in which `fit` builds `model` first, if a callback has `needs_weights`.

    Args:
        model: The model.
        callbacks: The callbacks of `fit`. Of those with `needs_weights`, `on_weights(model)` is
            called, if defined, once there are weights.

    Raises:
        ValueError: In `fit`, if the model cannot be called on its data.
    """
    asking = [each for each in callbacks if getattr(each, "needs_weights", False)]
    if not asking or keras.backend.backend() != "tensorflow" or _is_built(model):
        _tell(model, asking)
        yield
        return
    with on_data(model, partial(_build, model, asking), unbuilt=True):
        yield


def _tell(model, callbacks):
    for callback in callbacks:
        if hasattr(callback, "on_weights"):
            callback.on_weights(model)


def _is_built(model):
    return all(layer.built for layer in layers_of(model))


def _build(model, asking, iterators):
    """Calls the model on symbolic inputs; if it cannot be called on them, traces a step."""
    spec = spec_of(iterators)
    seemed_built = model.built and model.weights
    try:
        x, _, _ = keras.utils.unpack_x_y_sample_weight(symbolic(spec))
        with model.distribute_strategy.scope():
            model(x)
    except Exception as error:
        try:
            trace_step(model, spec)
        except Exception as second:
            if not seemed_built:  # otherwise only a layer that is never called is unbuilt
                reason = f"{error} The train step: {second}" if has_own_step(model) else error
                raise _refusal(model, asking[0], reason) from error
    _tell(model, asking)


def build_before_tracing(model):
    """Builds the compiled optimizer, unless only the first step tells which weights it updates.

    That is so if Keras has yet to build layers, or the model has a train step of its own.
    """
    optimizer = model.optimizer
    if optimizer and not optimizer.built and _is_built(model) and not has_own_step(model):
        build_optimizer(model)


def build_metrics_unnoticed(model):
    """Lets the first step build compiled metrics and losses without being traced again."""
    for part in (model._compile_metrics, model._compile_loss):
        if part is not None:
            vars(part)["build"] = _unnoticed(part.build)


def _unnoticed(build):
    @wraps(build)
    def unnoticed(*args):
        with backend.unnoticed():
            build(*args)

    return unnoticed


def build_optimizer(model):
    """Builds the compiled optimizer, and what belongs to its weights.

    Optimizers in attributes are built in their first step.
    """
    if model.optimizer is not None and not model.optimizer.built:
        with place_of(model):
            model.optimizer.build(model.trainable_variables)
    build_direction(model)


def place_of(model):
    """Context in which new variables are on the same devices as those of the model."""
    strategy = getattr(model, "distribute_strategy", None)  # only on TensorFlow
    return nullcontext() if strategy is None else strategy.scope()


def has_own_step(model):
    """Whether a model has a train step of its own, which may use its data in any way."""
    return type(model).train_step is not keras.Model.train_step


def trace_step(model, spec):
    """Traces one train step, which creates all the variables that the first step would create.

    Args:
        model: The compiled model.
        spec: The specification of one batch.
    """
    import tensorflow as tf

    step = model._autoconvert_optionals(model.train_step)

    @tf.autograph.experimental.do_not_convert
    def run(batch):
        model.distribute_strategy.run(step, args=(batch,))

    with model.distribute_strategy.scope():
        tf.function(run).get_concrete_function(spec)


def _refusal(model, callback, reason):
    return ValueError(
        f"{type(callback).__name__} needs the weights of {model.name!r} before the first batch, "
        "and the model cannot be built from the data of `fit`. Build it first: call it on a "
        f"batch, or start it with an `Input`. Reason: {reason}"
    )


def spec_of(iterators):
    """The specification of one batch of Keras' epoch iterator, from which nothing is read."""
    return iterators.data_adapter.get_tf_dataset().element_spec


def symbolic(spec):
    """Symbolic tensors of a specification."""
    return keras.tree.map_structure(
        lambda each: keras.KerasTensor(tuple(each.shape), each.dtype.name), spec
    )
