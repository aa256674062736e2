"""Hooks into Keras' `compile`, `fit`, `evaluate`, `save` and related methods.

Keras gives an optimizer the variables to update, but tells it nothing about epochs, evaluation,
saving or the model's structure. So these methods of `keras.Model` are extended, once, in the class
that defines them. Overrides in a subclass or on an instance stay, and are hooked where they call
Keras' method. Models that use nothing of this package run Keras' method unchanged.

Callbacks can use these hooks of `fit`:

- `around_fit(model, callbacks)` returns a context manager in which `fit` runs. It yields the
  callbacks to use.
- `window_at(epoch, window)` returns the number of micro-batches per update from `epoch` on.
- `last`: if true, the callback runs after all callbacks without it.
- `needs_weights`: if true, the model is built before the first callback begins. Then
  `on_weights(model)` is called, if defined.
- `undo()` takes back what the callback has changed for the time of a `fit` or an evaluation. It is
  called when `fit` ends, in whatever way, and when an error ends an evaluation.
- `resumed`: whether this `fit` continues an interrupted run.
"""

import functools
import inspect
from collections.abc import Callable
from contextlib import ExitStack, contextmanager

import keras
import numpy as np

from keras_gdx.arguments import check
from keras_gdx.backends import backend
from keras_gdx.config import Configured
from keras_gdx.engine.late_weights import begin_anew
from keras_gdx.engine.variables.masks import hold
from keras_gdx.engine.variables.structure import layers_of
from keras_gdx.integration.epochs import Epochs, close_epoch
from keras_gdx.integration.file_transaction import all_or_nothing
from keras_gdx.integration.kept_direction import forget
from keras_gdx.integration.legacy_files import check_file
from keras_gdx.integration.model_attributes import replicas_of
from keras_gdx.integration.model_building import (
    build_before_tracing,
    build_metrics_unnoticed,
    building,
)
from keras_gdx.integration.model_optimizers import ours
from keras_gdx.integration.weight_swap import evaluation_weights, train
from keras_gdx.registry import no_optimizer

EVALUATING = (
    "evaluate", "predict", "test_on_batch", "predict_on_batch", "save", "save_weights", "export"
)  # fmt: skip
ASCENT = "keras_gdx_ascent"  # in the saved arguments of `compile`
LOADING = ("set_weights", "load_weights")
AFTER_COMPILE: list[Callable] = []  # called with each model compiled with our optimizers


def install() -> None:
    """Extends the methods of `keras.Model`. Calling it again does nothing."""
    _extend("compile", _compiling)
    _extend("compile_from_config", _recompiling)
    _extend("fit", _fitting)
    _extend("train_on_batch", _training)
    for name in EVALUATING:
        _extend(name, _evaluating)
    for name in LOADING:
        _extend(name, _loading)


def _extend(name, hook):
    # Keras checks whether a model's `compile` is the one of this class: extend it in place.
    owner = next(cls for cls in keras.Model.__mro__ if name in vars(cls))
    original = vars(owner)[name]
    if not hasattr(original, "hooked"):
        extended = hook(original)
        vars(extended)["hooked"] = True
        setattr(owner, name, extended)


def _compiling(original):
    signature = inspect.signature(original)

    @functools.wraps(original)
    def compile(self, *args, **kwargs):
        try:
            original(self, *args, **kwargs)
        except ValueError as error:
            if "optimizer identifier" not in str(error):
                raise
            given = signature.bind(self, *args, **kwargs).arguments["optimizer"]
            raise no_optimizer("optimizer", given) from error
        introduce(self)
        follow(self)

    return compile


def _recompiling(original):
    @functools.wraps(original)
    def compile_from_config(self, config):
        config = dict(config)
        ascent = config.pop(ASCENT, None)
        original(self, config)
        if ascent is not None:
            from keras_gdx.integration.second_gradient import install  # TensorFlow only

            install(self, keras.saving.deserialize_keras_object(ascent))

    return compile_from_config


def _evaluating(original):
    @functools.wraps(original)
    def evaluating(self, *args, **kwargs):
        optimizers = ours(self)
        if original.__name__ == "save" and optimizers:
            check_file(*args, **kwargs)
        if (replicas := replicas_of(self)) is not None:
            replicas.before(original.__name__)
        if isinstance(kwargs.get("callbacks"), keras.callbacks.CallbackList):
            close_epoch(self)  # validation at the end of an epoch of `fit`
        with evaluation_weights(self), _undoing(kwargs.get("callbacks")):
            return original(self, *args, **kwargs)

    return evaluating


@contextmanager
def _undoing(callbacks):
    """Lets callbacks take back what they have changed if an evaluation does not reach its end."""
    try:
        yield
    except BaseException:  # an interruption by the user, too
        for callback in _listed(callbacks):
            if hasattr(callback, "undo"):
                callback.undo()
        raise


def _listed(callbacks):
    """The callbacks that Keras was given in one of several forms, as a list."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return list(callbacks.callbacks)
    return keras.tree.flatten(callbacks or [])


def _loading(original):
    """Tells optimizers about weights that are set, unless their own state is loaded with them."""

    @functools.wraps(original)
    def loading(self, *args, **kwargs):
        optimizers = ours(self) if isinstance(self, keras.Model) else []
        # While trained weights are swapped out, `WeightSwap.settle` detects changes instead.
        training = [x for x in optimizers if x.built and not x.weight_swap.swapped]
        before = [[backend.snapshot(v) for v in x.model_variables] for x in training]
        loads = [x.loads for x in training]
        with all_or_nothing(self.variables if optimizers else ()):
            result = original(self, *args, **kwargs)
        forget(self)
        for variable in self.weights:
            hold(variable)
        for optimizer, values, count in zip(training, before, loads, strict=True):
            if optimizer.loads == count:
                pairs = zip(optimizer.model_variables, values, strict=True)
                optimizer.adopt([i for i, (v, old) in enumerate(pairs) if not _equal(v, old)])
        return result

    return loading


def _equal(a, b):
    return np.array_equal(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b))


def _training(original):
    @functools.wraps(original)
    def train_on_batch(self, *args, **kwargs):
        optimizers = introduced(self)
        train(self)
        for optimizer in optimizers:
            begin_anew(optimizer)
        if optimizers:
            build_before_tracing(self)
        return original(self, *args, **kwargs)

    return train_on_batch


def _fitting(original):
    signature = inspect.signature(original)

    @functools.wraps(original)
    def fit(self, *args, **kwargs):
        call = signature.bind(self, *args, **kwargs)
        given = call.arguments.get("callbacks")
        whole = given if isinstance(given, keras.callbacks.CallbackList) else None
        listed = _listed(given)
        for each in listed:
            if isinstance(each, type) and issubclass(each, Configured):
                advice = f" Write {each.__name__}(...)."
                check(False, "callbacks", given, "a list of instances", advice=advice)
        follow(self)  # layers may have been added since `compile`
        if not (introduced(self) or replicas_of(self) or any(map(_is_hooked, listed))):
            return original(self, *args, **kwargs)
        with ExitStack() as stack:
            callbacks = around_fit(self, listed, call.arguments, stack)
            if whole:
                for each in callbacks:
                    each.set_model(self)
                    each.set_params(whole.params)
                whole.callbacks[:] = callbacks
                stack.callback(whole.callbacks.__setitem__, slice(None), listed)
            else:
                call.arguments["callbacks"] = callbacks
            return original(*call.args, **call.kwargs)

    return fit


def _is_hooked(callback):
    return any(hasattr(callback, name) for name in ("around_fit", "undo")) or any(
        getattr(callback, name, False) for name in ("last", "needs_weights")
    )


def around_fit(model, listed, arguments, stack):
    """Enters the contexts of a `fit`; returns its callbacks.

    Args:
        model: The model.
        listed: The callbacks that `fit` was given.
        arguments: The other arguments of `fit`, by name.
        stack: `ExitStack` on which the contexts are entered.
    """
    train(model)
    for optimizer in ours(model):
        begin_anew(optimizer)
    replicas = replicas_of(model)
    if replicas is not None:
        listed = replicas.callbacks(listed)
        stack.enter_context(replicas.fitting(listed, arguments))
    before = sorted(listed, key=lambda each: getattr(each, "last", False))
    first = arguments.get("initial_epoch", 0)
    callbacks = [Epochs(first, before, batch_size(arguments)), *before]
    stack.enter_context(building(model, before))
    for callback in before:
        if hasattr(callback, "inside_fit"):
            callback.inside_fit = True
            stack.callback(setattr, callback, "inside_fit", False)
        if hasattr(callback, "undo"):
            stack.callback(callback.undo)
        if hasattr(callback, "around_fit"):
            callbacks = stack.enter_context(callback.around_fit(model, callbacks))
    return callbacks


def follow(model):
    """Gives each scheduled regularizer the optimizer whose updates it counts.

    A layer that is not built has no variables yet, but holds the regularizers that they will have.
    """
    known = [v.regularizer for v in model.trainable_variables]
    known += [value for layer in layers_of(model) for value in vars(layer).values()]
    for each in known:
        if isinstance(each, keras.regularizers.Regularizer) and hasattr(each, "follow"):
            each.follow(model.optimizer)


def introduce(model):
    """Attaches our optimizers to a model that was just compiled."""
    if ours(model):
        build_metrics_unnoticed(model)
        for fn in AFTER_COMPILE:
            fn(model)
    if (replicas := replicas_of(model)) is not None:
        replicas.take_over()
    introduced(model)


def introduced(model):
    """Attaches a model's optimizers to it, also those set as attributes after `compile`."""
    found = ours(model)
    for optimizer in found:
        optimizer.attach(model)
    return found


def batch_size(arguments):
    """The batch size of this `fit`, or `None` if its arguments do not tell."""
    x = arguments.get("x")
    leaves = keras.tree.flatten(getattr(x, "element_spec", x))
    if hasattr(x, "element_spec"):
        return next(iter(getattr(leaves[0], "shape", None) or ()), None)
    arrays = all(hasattr(leaf, "shape") for leaf in leaves)
    return arguments.get("batch_size") or (32 if arrays else None)
