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
import warnings
from collections.abc import Callable
from contextlib import ExitStack, contextmanager

import keras
import numpy as np

from keras_gdx.arguments import check
from keras_gdx.backends import backend
from keras_gdx.config import Configured
from keras_gdx.engine.late_weights import begin_anew, updates_of
from keras_gdx.engine.variables.masks import hold
from keras_gdx.engine.variables.structure import layers_of
from keras_gdx.integration.coordination import SingleProcess
from keras_gdx.integration.file_transaction import all_or_nothing
from keras_gdx.integration.kept_direction import forget
from keras_gdx.integration.legacy_files import check_file
from keras_gdx.integration.model_building import (
    build_before_tracing,
    build_metrics_unnoticed,
    building,
)
from keras_gdx.integration.model_optimizers import keras_averages, ours, window
from keras_gdx.integration.weight_swap import added_to, evaluation_weights, finish, show, train
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


def close_epoch(model):
    """Completes what updates of the epoch have begun, before the weights are evaluated."""
    for optimizer in ours(model):
        optimizer.flush()
    for variable in model.weights:
        hold(variable)
    for variable, average in keras_averages(model):
        hold(variable, average)
    for swap in added_to(model):
        swap.owner.close_epoch()


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


def replicas_of(model):
    """The `Replicas` of a model prepared for multi-replica training, or `None`."""
    return vars(model).get("_keras_gdx_replicas")


def ascent_of(model):
    """What moves the weights of a model for its second gradient, or `None` if it takes only one."""
    return vars(model).get("_keras_gdx_ascent")


def peers_of(model):
    """The object that coordinates the processes which train a model together."""
    replicas = replicas_of(model)
    return SingleProcess() if replicas is None else replicas.peers


def batch_size(arguments):
    """The batch size of this `fit`, or `None` if its arguments do not tell."""
    x = arguments.get("x")
    leaves = keras.tree.flatten(getattr(x, "element_spec", x))
    if hasattr(x, "element_spec"):
        return next(iter(getattr(leaves[0], "shape", None) or ()), None)
    arrays = all(hasattr(leaf, "shape") for leaf in leaves)
    return arguments.get("batch_size") or (32 if arrays else None)


class Epochs(keras.callbacks.Callback):
    """The first callback of `fit`: tells our optimizers where epochs begin and end.

    Between epochs the model holds its evaluation weights, so those are what later callbacks save
    or copy at the end of an epoch.
    """

    def __init__(self, initial_epoch=0, others=(), batch_size=None):
        super().__init__()
        self.initial_epoch = initial_epoch
        self.batch_size = batch_size
        self.others = [*others]

    def on_train_begin(self, logs=None):
        """Plans the schedules that have no length yet."""
        self._begins = True
        self._warned = False
        self._plan(self.initial_epoch, lambda schedule: schedule.total_steps is None)

    def on_epoch_begin(self, epoch, logs=None):
        """Restores the trained weights."""
        train(self.model)
        if self._begins:  # checkpoints have been restored by now
            self._begins = False
            self._plan(epoch)
            if ours(self.model):
                build_before_tracing(self.model)
        self._warn_of_zero_rates(epoch)

    def on_epoch_end(self, epoch, logs=None):
        """Closes the accumulation window; swaps in the evaluation weights."""
        close_epoch(self.model)
        show(self.model)
        if (replicas := replicas_of(self.model)) is not None:
            replicas.before("epoch")

    def on_train_end(self, logs=None):
        """Swaps in the evaluation weights. Keras does so only for the compiled optimizer."""
        finish(self.model)

    # -- the length of the run ----------------------------------------------------------------

    def _plan(self, epoch, chosen=lambda schedule: True):
        """Gives schedules that span the run their first update and their length."""
        from keras_gdx.schedules.create import plans_of

        resumed = any(getattr(each, "resumed", False) for each in self.others)
        changed = False
        for optimizer in ours(self.model):
            for schedule in filter(chosen, plans_of(optimizer)):
                changed |= self._plan_one(optimizer, schedule, epoch, resumed)
        if changed:  # the old plan may be compiled into the train step
            self.model.make_train_function(force=True)

    def _plan_one(self, optimizer, schedule, epoch, resumed):
        """Plans one schedule; returns whether this replaced an earlier plan."""
        if not self.params.get("steps"):
            raise ValueError(
                f"The schedule {schedule.name!r} needs the length of the run, but the number of "
                "batches is unknown. Pass `steps_per_epoch` to `fit`, or `total_steps` to the "
                "schedule."
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
            return False  # this `fit` is the rest of the run that was planned
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
        """The number of updates in each epoch from 0 on, including those before `initial_epoch`."""
        size, found = window(optimizer), []
        for epoch in range(self.params.get("epochs", 0)):
            for other in self.others:
                if hasattr(other, "window_at"):
                    size = other.window_at(epoch, size)
            found.append(-(-self.params.get("steps") // size))
        return found

    def _warn_of_zero_rates(self, epoch):
        """Warns, once, if the learning rate is 0 for a full epoch."""
        from keras_gdx.arguments import is_schedule

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
                    "determine its length: `schedules.create(name)` without `total_steps`.",
                    stacklevel=2,
                )


def begin_at(model, epoch):
    """Makes the `fit` that is about to begin start at `epoch`."""
    model._initial_epoch = epoch


def first_epoch(model):
    """The epoch that `begin_at` has set, or 0."""
    return model._initial_epoch or 0
