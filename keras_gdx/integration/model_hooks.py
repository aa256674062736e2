"""Hooks into Keras' `compile`, `fit`, `evaluate`, `save` and their like.

Keras tells an optimizer which variables to move, and nothing of epochs, evaluation, saving or
the model's structure. So these methods of `keras.Model` are extended, once, where Keras defines
them: whatever a subclass or an instance overrides stays, and is hooked where it calls Keras'
own. Models without a part of this package run Keras' method as it is.

A callback with a method `around_fit(model, callbacks)` is asked for a context in which
`fit` runs, and what that yields are the callbacks of the run. One with a method
`window_at(epoch, window)` says how many micro-batches make an update from there on. Those
with `last` come after the others. For those with `needs_weights` the model is built before they
begin, and `on_weights(model)` is called if they have it. One with `resumed` says whether the run
goes on where another one was interrupted.
"""

import functools
import inspect
import warnings
from collections.abc import Callable
from contextlib import ExitStack, contextmanager

import keras
import numpy as np

from keras_gdx.backends import backend
from keras_gdx.engine.late_weights import begin_anew, updates_of
from keras_gdx.engine.variables.structure import layers_of
from keras_gdx.integration.coordination import SingleProcess
from keras_gdx.integration.file_transaction import all_or_nothing
from keras_gdx.integration.legacy_files import check_file
from keras_gdx.integration.model_building import building
from keras_gdx.integration.model_optimizers import ours, window

EVALUATING = (
    "evaluate", "predict", "test_on_batch", "predict_on_batch", "save", "save_weights", "export"
)  # fmt: skip
LOADING = ("set_weights", "load_weights")
AFTER_COMPILE: list[Callable] = []  # what is done to a model compiled with an optimizer of ours


def install():
    """Extends the methods of all models, once."""
    _extend("compile", _compiling)
    _extend("fit", _fitting)
    _extend("train_on_batch", _training)
    for name in EVALUATING:
        _extend(name, _evaluating)
    for name in LOADING:
        _extend(name, _loading)


def _extend(name, hook):
    # Keras asks whether a model's `compile` is the one of this class: extend it in place.
    owner = next(cls for cls in keras.Model.__mro__ if name in vars(cls))
    original = vars(owner)[name]
    if not hasattr(original, "hooked"):
        extended = hook(original)
        vars(extended)["hooked"] = True
        setattr(owner, name, extended)


def _compiling(original):
    @functools.wraps(original)
    def compile(self, *args, **kwargs):
        original(self, *args, **kwargs)
        introduce(self)
        follow(self)

    return compile


def _evaluating(original):
    @functools.wraps(original)
    def evaluating(self, *args, **kwargs):
        if original.__name__ == "save" and ours(self):
            check_file(*args, **kwargs)
        if (replicas := replicas_of(self)) is not None:
            replicas.before(original.__name__)
        optimizers = ours(self)
        if isinstance(kwargs.get("callbacks"), keras.callbacks.CallbackList):
            for optimizer in optimizers:  # the validation at the end of an epoch of `fit`
                optimizer.flush()
        with _evaluation_weights(optimizers):
            return original(self, *args, **kwargs)

    return evaluating


@contextmanager
def _evaluation_weights(optimizers):
    """A model with the evaluation weights of all its optimizers."""
    entered: list = []
    try:
        entered += [x for x in optimizers if x.evaluates_others and x.weight_swap.enter()]
        yield
    finally:
        for optimizer in entered:
            optimizer.weight_swap.leave()


def _loading(original):
    """Optimizers learn of weights that somebody sets, unless their own state comes with them."""

    @functools.wraps(original)
    def loading(self, *args, **kwargs):
        optimizers = ours(self) if isinstance(self, keras.Model) else []
        # Where trained weights wait, it is decided when they come back.
        training = [x for x in optimizers if x.built and not x.weight_swap.swapped]
        before = [[backend.snapshot(v) for v in x.model_variables] for x in training]
        loads = [x.loads for x in training]
        with all_or_nothing(self.variables if optimizers else ()):
            result = original(self, *args, **kwargs)
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
        for optimizer in introduced(self):
            optimizer.weight_swap.leave()
            begin_anew(optimizer)
        return original(self, *args, **kwargs)

    return train_on_batch


def _fitting(original):
    signature = inspect.signature(original)

    @functools.wraps(original)
    def fit(self, *args, **kwargs):
        call = signature.bind(self, *args, **kwargs)
        given = call.arguments.get("callbacks")
        whole = given if isinstance(given, keras.callbacks.CallbackList) else None
        listed = list(whole.callbacks) if whole else keras.tree.flatten(given or [])
        follow(self)  # the model may have got layers since `compile`
        if not (introduced(self) or replicas_of(self) or any(map(_is_hooked, listed))):
            return original(self, *args, **kwargs)
        with ExitStack() as stack:
            callbacks = _around(self, listed, call.arguments, stack)
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
    return hasattr(callback, "around_fit") or any(
        getattr(callback, name, False) for name in ("last", "needs_weights")
    )


def _around(model, listed, arguments, stack):
    """Enters the contexts of a `fit`; returns its callbacks.

    Args:
        model: The model.
        listed: The callbacks that `fit` was given.
        arguments: Its other arguments, by name.
        stack: `ExitStack` that takes the contexts.
    """
    for optimizer in ours(model):
        optimizer.weight_swap.leave()
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
        if hasattr(callback, "around_fit"):
            callbacks = stack.enter_context(callback.around_fit(model, callbacks))
    return callbacks


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
    """Introduces our optimizers to the model that was just compiled."""
    replicas = replicas_of(model)
    if replicas is not None:
        replicas.take_over()
    if ours(model):
        for fn in AFTER_COMPILE:
            fn(model)
    introduced(model)


def introduced(model):
    """Our optimizers of a model, which know it. Some may be attributes set after `compile`."""
    found = ours(model)
    for optimizer in found:
        optimizer.attach(model)
    return found


def replicas_of(model):
    """The `Replicas` of a model prepared for several of them, or `None`."""
    return vars(model).get("_keras_gdx_replicas")


def peers_of(model):
    """The processes that train a model together."""
    replicas = replicas_of(model)
    return SingleProcess() if replicas is None else replicas.peers


def batch_size(arguments):
    """How many examples `fit` takes at a time, as far as its arguments tell, or `None`."""
    x = arguments.get("x")
    leaves = keras.tree.flatten(getattr(x, "element_spec", x))
    if hasattr(x, "element_spec"):
        return next(iter(getattr(leaves[0], "shape", None) or ()), None)
    arrays = all(hasattr(leaf, "shape") for leaf in leaves)
    return arguments.get("batch_size") or (32 if arrays else None)


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
        self._begins = True
        self._warned = False
        self._plan(self.initial_epoch, lambda schedule: schedule.total_steps is None)

    def on_epoch_begin(self, epoch, logs=None):
        """Goes on from the trained weights."""
        for optimizer in ours(self.model):
            optimizer.weight_swap.leave()
        if self._begins:  # by now all that was saved is back
            self._begins = False
            self._plan(epoch)
        self._warn_of_zero_rates(epoch)

    def on_epoch_end(self, epoch, logs=None):
        """Closes the accumulation window; shows the evaluation weights."""
        for optimizer in ours(self.model):
            optimizer.flush()
            if optimizer.evaluates_others:
                optimizer.weight_swap.enter()
        if (replicas := replicas_of(self.model)) is not None:
            replicas.before("epoch")

    def on_train_end(self, logs=None):
        """Shows the evaluation weights of optimizers that Keras does not know of."""
        for optimizer in ours(self.model):
            optimizer.weight_swap.enter()

    # -- the length of the run ----------------------------------------------------------------

    def _plan(self, epoch, chosen=lambda schedule: True):
        """Gives schedules that are as long as the run its first update and its length."""
        from keras_gdx.schedules.create import plans_of

        resumed = any(getattr(each, "resumed", False) for each in self.others)
        changed = False
        for optimizer in ours(self.model):
            for schedule in filter(chosen, plans_of(optimizer)):
                changed |= self._plan_one(optimizer, schedule, epoch, resumed)
        if changed:  # steps may be compiled with what it was
            self.model.make_train_function(force=True)

    def _plan_one(self, optimizer, schedule, epoch, resumed):
        """Plans one schedule; returns whether it was another one before."""
        if not self.params.get("steps"):
            raise ValueError(
                f"The schedule {schedule.name!r} must know how long the run is, and the "
                "number of batches is unknown. Give `steps_per_epoch` to `fit`, or "
                "`total_steps` to the schedule."
            )
        now = updates_of(optimizer)
        updates = self._updates(optimizer)
        done, left = sum(updates[:epoch]), sum(updates[epoch:])
        known = schedule.total_steps is not None
        if not left:
            return False
        if resumed and known:
            begin, total = schedule.begin, done + left
        elif epoch > 0 and known and now + left <= schedule.begin + schedule.total_steps:
            return False  # the rest of the run it was made for
        elif epoch > 0 and now >= done:
            begin, total = now - done, done + left
        else:
            begin, total = now, left
        if known and (begin, total) == (schedule.begin, schedule.total_steps):
            return False
        if known and self.params.get("verbose"):
            print(
                f"A new run: the schedule {schedule.name!r} of {optimizer.name!r} begins again at "
                f"update {begin} and lasts {total} updates."
            )
        schedule.plan(total, begin)
        if known:
            optimizer.forget_traces()
        return known

    def _updates(self, optimizer):
        """How many updates each epoch of this `fit` makes, those before its first one too."""
        size, found = window(optimizer), []
        for epoch in range(self.params.get("epochs", 0)):
            for other in self.others:
                if hasattr(other, "window_at"):
                    size = other.window_at(epoch, size)
            found.append(-(-self.params.get("steps") // size))
        return found

    def _warn_of_zero_rates(self, epoch):
        """Warns, once, if a whole epoch would be trained at the rate 0."""
        from keras_gdx.config import is_schedule

        if self._warned or not self.params.get("steps"):
            return
        for optimizer in ours(self.model):
            if not is_schedule(optimizer.configured_rate()):
                continue
            now = updates_of(optimizer)
            last = now + -(-self.params.get("steps") // window(optimizer)) - 1
            if not any(float(optimizer.rate_at(t)) for t in (now, (now + last) // 2, last)):
                self._warned = True
                warnings.warn(
                    f"Epoch {epoch + 1} trains nothing: the learning rate of {optimizer.name!r} "
                    f"is 0 from update {now} on, past the end of its schedule "
                    f"{optimizer.configured_rate()!r}. Compile with a new schedule, or let `fit` "
                    "say how long it is: `schedules.create(name)` without `total_steps`.",
                    stacklevel=2,
                )


def begin_at(model, epoch):
    """Lets the `fit` that is about to begin start with another epoch."""
    model._initial_epoch = epoch
