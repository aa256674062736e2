"""Where an optimizer meets a model.

Keras tells an optimizer which variables to move, and nothing of epochs, evaluation,
saving or the model's structure. So `compile` is extended by one call: it introduces our
optimizers to the model, and lets the methods of this one model tell them what goes on.

A callback with a method `around_fit(model, callbacks)` is asked for a context in which
`fit` runs, and what that yields are the callbacks of the run. One with a method
`window_at(epoch, window)` says how many micro-batches make an update from there on. Those
with `last` come after the others.
"""

import functools
import inspect
from contextlib import ExitStack

import keras

from keras_gdx.engine.structure import layers_of
from keras_gdx.resume.peers import Alone
from keras_gdx.saving.legacy import check_file
from keras_gdx.saving.whole import all_or_nothing

EVALUATING = (
    "evaluate", "predict", "test_on_batch", "predict_on_batch", "save", "save_weights", "export"
)  # fmt: skip
TRAINING = ("fit", "train_on_batch")


def install():
    """Extends `compile` of all models, once."""
    # Keras asks whether a model's `compile` is the one of this class: extend it in place.
    owner = next(cls for cls in keras.Model.__mro__ if "compile" in vars(cls))
    original = owner.compile
    if hasattr(original, "introduces"):
        return

    @functools.wraps(original)
    def compile(self, *args, **kwargs):
        original(self, *args, **kwargs)
        introduce(self)
        follow(self)

    vars(compile)["introduces"] = True
    owner.compile = compile


def follow(model):
    """Tells regularizers that change with the updates whose updates to count.

    A layer that is not built yet has no variables, but knows the regularizers that they will have.
    """
    known = [v.regularizer for v in model.trainable_variables]
    known += [value for layer in layers_of(model) for value in vars(layer).values()]
    for each in known:
        if isinstance(each, keras.regularizers.Regularizer) and hasattr(each, "follow"):
            each.follow(model.optimizer)


def introduce(model):
    """Introduces our optimizers in `model.optimizer` to the model, and it to them."""
    from keras_gdx.optimizers.loss_scale_optimizer import LossScaleOptimizer

    for name in (*EVALUATING, *TRAINING, "load_weights"):
        vars(model).pop(name, None)
    replicas = replicas_of(model)
    if replicas is not None:
        replicas.take_over()
    if not (ours(model) or replicas):
        vars(model)["fit"] = _fitting(model, model.fit)
        return
    scaled = model.optimizer
    if type(scaled) is keras.optimizers.LossScaleOptimizer and not scaled.built:
        options = scaled.get_config() | {"inner_optimizer": scaled.inner_optimizer}
        model.optimizer = LossScaleOptimizer(**options)
    for optimizer in ours(model):
        optimizer.attach(model)
    for name in EVALUATING:
        vars(model)[name] = _evaluating(model, name, getattr(model, name))
    vars(model)["load_weights"] = _loading(model, model.load_weights)
    for name in TRAINING:
        vars(model)[name] = _training(model, getattr(model, name))
    vars(model)["fit"] = _fitting(model, model.fit)


def ours(model):
    """Our optimizers in `model.optimizer`."""
    from keras_gdx.optimizers.base import Optimizer

    return [x for x in inside(model.optimizer) if isinstance(x, Optimizer)]


def replicas_of(model):
    """The `Replicas` of a model prepared for several of them, or `None`."""
    return vars(model).get("_keras_gdx_replicas")


def peers_of(model):
    """The processes that train a model together."""
    replicas = replicas_of(model)
    return Alone() if replicas is None else replicas.peers


def inside(optimizer):
    """An optimizer and those that it contains; not the rules that are parts of its own."""
    if optimizer is None:
        return
    yield optimizer
    for name in ("inner_optimizer", "inner", "outer"):
        if name not in getattr(optimizer, "parts", ()):
            yield from inside(getattr(optimizer, name, None))
    for each in getattr(optimizer, "optimizers", ()):
        yield from inside(each)


def sums_of_keras(model):
    """The variables in which Keras' own optimizers add up gradients."""
    for optimizer in inside(model.optimizer):
        yield from getattr(optimizer, "_accumulated_gradients", ())


def known_to(optimizer):
    """The ids of the variables that an optimizer was built for."""
    return {id(v) for x in inside(optimizer) for v in getattr(x, "_trainable_variables", ())}


def window(optimizer):
    """How many micro-batches an optimizer makes one update of."""
    steps = [getattr(x, "gradient_accumulation_steps", None) or 1 for x in inside(optimizer)]
    return max(steps)


def _evaluating(model, name, method):
    @functools.wraps(method)
    def wrapped(*args, **kwargs):
        if name == "save":
            check_file(*args, **kwargs)
        if (replicas := replicas_of(model)) is not None:
            replicas.before(name)
        if isinstance(kwargs.get("callbacks"), keras.callbacks.CallbackList):
            for optimizer in ours(model):  # the validation at the end of an epoch of `fit`
                optimizer.flush()
        with Evaluation(ours(model)):
            return method(*args, **kwargs)

    return wrapped


def _loading(model, method):
    @functools.wraps(method)
    def wrapped(*args, **kwargs):
        with all_or_nothing(model.variables):
            return method(*args, **kwargs)

    return wrapped


def _training(model, method):
    @functools.wraps(method)
    def wrapped(*args, **kwargs):
        for optimizer in ours(model):
            optimizer.parking.leave()
        return method(*args, **kwargs)

    return wrapped


def _fitting(model, method):
    @functools.wraps(method)
    def wrapped(*args, **kwargs):
        call = inspect.signature(method).bind(*args, **kwargs)
        given = call.arguments.get("callbacks")
        whole = given if isinstance(given, keras.callbacks.CallbackList) else None
        listed = list(whole.callbacks) if whole else keras.tree.flatten(given or [])
        replicas = replicas_of(model)
        if replicas is not None:
            listed = replicas.callbacks(listed)
        before = sorted(listed, key=lambda each: getattr(each, "last", False))
        first = call.arguments.get("initial_epoch", 0)
        epochs = Epochs(first, before, batch_size(call.arguments))
        callbacks = [epochs, *before]
        with ExitStack() as stack:
            if replicas is not None:
                stack.enter_context(replicas.fitting(listed, call.arguments))
            for callback in before:
                if hasattr(callback, "around_fit"):
                    callbacks = stack.enter_context(callback.around_fit(model, callbacks))
            if whole:
                for each in callbacks:
                    each.set_model(model)
                whole.callbacks[:] = callbacks
                stack.callback(whole.callbacks.__setitem__, slice(None), listed)
            else:
                call.arguments["callbacks"] = callbacks
            return method(*call.args, **call.kwargs)

    return wrapped


def batch_size(arguments):
    """How many examples `fit` takes at a time, as far as its arguments tell, or `None`."""
    x = arguments.get("x")
    leaves = keras.tree.flatten(getattr(x, "element_spec", x))
    if hasattr(x, "element_spec"):
        return next(iter(getattr(leaves[0], "shape", None) or ()), None)
    arrays = all(hasattr(leaf, "shape") for leaf in leaves)
    return arguments.get("batch_size") or (32 if arrays else None)


class Evaluation:
    """The model with the evaluation weights of all its optimizers."""

    def __init__(self, optimizers):
        self.optimizers = [x for x in optimizers if x.evaluates_others]

    def __enter__(self):
        self.entered = [x for x in self.optimizers if x.parking.enter()]

    def __exit__(self, *_):
        for optimizer in self.entered:
            optimizer.parking.leave()


class Epochs(keras.callbacks.Callback):
    """The first callback of `fit`: tells our optimizers where epochs begin and end.

    Between epochs the model holds the weights to evaluate with, so that what later
    callbacks save or copy at the end of an epoch are those.
    """

    def __init__(self, initial_epoch=0, others=(), batch_size=None):
        super().__init__()
        self.initial_epoch = initial_epoch
        self.batch_size = batch_size
        self.others = [*others]

    def on_train_begin(self, logs=None):
        """Tells schedules that do not know it yet how many updates there will be."""
        from keras_gdx.schedules.create import unplanned

        follow(self.model)  # it may have got layers since `compile`
        for optimizer in ours(self.model):
            for schedule in unplanned(optimizer):
                if not self.params["steps"]:
                    raise ValueError(
                        f"The schedule {schedule.name!r} must know how long the run is, and the "
                        "number of batches is unknown. Give `steps_per_epoch` to `fit`, or "
                        "`total_steps` to the schedule."
                    )
                schedule.plan(int(optimizer.iterations.numpy()) + self._updates(optimizer))

    def _updates(self, optimizer):
        """How many updates this `fit` will make."""
        size, updates = window(optimizer), 0
        for epoch in range(self.initial_epoch, self.params["epochs"]):
            for other in self.others:
                if hasattr(other, "window_at"):
                    size = other.window_at(epoch, size)
            updates += -(-self.params["steps"] // size)
        return updates

    def on_epoch_begin(self, epoch, logs=None):
        """Goes on from the trained weights."""
        for optimizer in ours(self.model):
            optimizer.parking.leave()

    def on_epoch_end(self, epoch, logs=None):
        """Closes the accumulation window; shows the evaluation weights."""
        for optimizer in ours(self.model):
            optimizer.flush()
            if optimizer.evaluates_others:
                optimizer.parking.enter()
        if (replicas := replicas_of(self.model)) is not None:
            replicas.before("epoch")


def begin_at(model, epoch):
    """Lets the `fit` that is about to begin start with another epoch."""
    model._initial_epoch = epoch
