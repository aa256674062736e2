"""An update rule with everything around it: options, state, averages, files."""

import math
import weakref
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from keras_gdx.backends import backend
from keras_gdx.checkpoint.optimizer_state import load_state, save_state
from keras_gdx.config import check, check_integer, declared_arguments, is_number
from keras_gdx.engine.hyperparameters import (
    Hyperparameters,
    Scalars,
    check_hyperparameter,
    is_hyperparameter,
    resolve,
)
from keras_gdx.engine.late_weights import comes_late
from keras_gdx.engine.state.state import State, imagined, size_of
from keras_gdx.integration.keras_optimizer import KerasOptimizer, check_listed
from keras_gdx.integration.weight_swap import WeightSwap
from keras_gdx.optimizers.options import check_options, patterns
from keras_gdx.optimizers.rule import Rule
from keras_gdx.optimizers.slots import Slot


class Optimizer(Rule, KerasOptimizer):
    """Base class of every optimizer.

    A rule does three things: its `__init__` stores each argument under the argument's
    own name; `slots` names the state kept per variable; `direction` says what a step
    is, as a pure function of tensors (see `Rule`). Everything else stands here and in the
    engine, once.

    The options that every rule takes:

    Args:
        learning_rate: Number >= 0, `LearningRateSchedule` of the update index, or a
            callable without arguments.
        weight_decay: Number >= 0 or schedule. Decoupled: `w` loses `learning_rate *
            weight_decay * w` in every update. `None` for no decay.
        no_decay: Regular expressions; a variable whose path matches one is not decayed.
            `"auto"` exempts vectors, scalars, normalisation and embeddings; it may be one of
            the expressions. A path with a number, `["head/kernel", 1]`, is one of several
            variables of that path, counted from 0.
        lr_multipliers: Dictionary from regular expressions on paths to factors of the
            learning rate. The first one that matches counts.
        before: Modifiers of the reduced gradient, in order.
        after: Modifiers of the direction, in order.
        state_dtype: How slots are kept: `None` is the variable's dtype but at least
            float32; `"bfloat16"`, `"float16"` or `"float32"`; `"int8"` keeps slots of
            4,096 values or more at 8.125 bits per value.
        shard_state: If true, each of N replicas keeps a piece of the slots, 1/N of them, and makes
            its part of every update; all get the new weights of all (ZeRO stage 1). Slots of
            rules and modifiers that mix the entries of a tensor stay whole, each on one of the
            replicas: they need several variables of one shape. The weights are the same. On one
            replica it does nothing.
        reduce_dtype: How gradients travel between replicas. `"bfloat16"` and `"float16"` send
            half the bytes and round each sum to 8 or 11 significant bits; beyond 65,504
            `"float16"` is infinite. `None`: in their own dtype.
        precision: How weights in 16 bits take updates that are too small for them, in every
            rule. `"kahan"` keeps what rounding takes for the next update, in 16 bits more
            per weight (arXiv:2010.06192); `"stochastic"` rounds bfloat16 up or down by chance,
            right on average, and keeps nothing. `None` rounds to the nearest. Weights in
            float32 and wider are as without it.
        sparse: `"dense"` treats a `tf.IndexedSlices` gradient as the dense one that it
            stands for. `"lazy"` moves only the rows that it names; their averages and
            their decay rest in between, bias corrections count all updates.
        fused: `"auto"` packs small variables together and, where a step is not compiled
            anyway, compiles the update of large ones; `True` compiles it for all; `False`
            updates each variable by itself and compiles nothing. On TensorFlow. The
            weights are the same.
        skip_nonfinite: If true, an update whose reduced gradient has a NaN or an
            infinity anywhere changes nothing and does not count.
        clipnorm: Number > 0 or schedule: the most that the norm of each gradient may be.
        global_clipnorm: The same for the norm of all gradients together.
        clipvalue: The same for each entry. Only one of the three can be given.
        use_ema: If true, keeps an exponential moving average of the weights, in at least
            float32, once per update. It starts as a copy of the weights after the first.
        ema_momentum: Number in [0, 1] or schedule: memory of that average.
        ema_overwrite_frequency: Integer >= 1: every so many updates the weights become
            their average. `None`: only at the end of `fit`.
        loss_scale_factor: Number > 0 by which `scale_loss` multiplies the loss and the
            update divides the gradients.
        gradient_accumulation_steps: Integer >= 1: micro-batches per update. `None` is 1, and
            keeps no sums; any other number may become another one while training. A variable
            gets the sum of the gradients that it had in them, and stays as it is if it had none.
        name: Name of the optimizer.

    Raises:
        ValueError: At construction, if an argument is out of its range.
    """

    built = False
    loads = 0  # how often state was read from a file
    left_alone = False  # whether files are for the optimizer around it only
    hyperparameters: Any = None  # `Hyperparameters`, once built
    reduced = staticmethod(backend.reduce)  # what becomes of gradients between replicas
    extremes = staticmethod(backend.largest)  # and of what overwrites variables

    def __init__(
        self,
        learning_rate,
        *,
        weight_decay=None,
        no_decay=(),
        lr_multipliers=None,
        before=(),
        after=(),
        state_dtype=None,
        shard_state=False,
        reduce_dtype=None,
        precision=None,
        sparse="dense",
        fused="auto",
        skip_nonfinite=False,
        clipnorm=None,
        global_clipnorm=None,
        clipvalue=None,
        use_ema=False,
        ema_momentum=0.99,
        ema_overwrite_frequency=None,
        loss_scale_factor=None,
        gradient_accumulation_steps=None,
        name=None,
    ):
        super().__init__(learning_rate, name=name)
        self._model = lambda: None
        self.weight_swap = WeightSwap(self)
        self.weight_decay = weight_decay
        self.no_decay = no_decay
        self.lr_multipliers = lr_multipliers
        self.before = before
        self.after = after
        self.state_dtype = state_dtype
        self.shard_state = shard_state
        self.reduce_dtype = reduce_dtype
        self.precision = precision
        self.sparse = sparse
        self.fused = fused
        self.skip_nonfinite = skip_nonfinite
        self.clipnorm = clipnorm
        self.global_clipnorm = global_clipnorm
        self.clipvalue = clipvalue
        self.use_ema = use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        check_options(self)

    def evaluation_values(self, trained):
        """The weights to evaluate with, given the trained ones; `None` if they are the same."""
        return self.averages() if self.use_ema else None

    @property
    def evaluates_others(self):
        """Whether `fit`, `evaluate` and `save` must show the evaluation weights by themselves.

        True for rules whose trained weights are not meant to be evaluated. With `use_ema`
        Keras shows the averages only after `fit`, or inside `evaluation_weights()`.
        """
        return type(self).evaluation_values is not Optimizer.evaluation_values

    # -- the pieces put together -------------------------------------------------------------

    @property
    def no_decay_entries(self):
        """The entries of `no_decay`: regular expressions, `"auto"`, paths with numbers."""
        return ("auto",) if self.no_decay == "auto" else tuple(self.no_decay)

    def scalars(self, step, dtype):
        """The `h` of the update with index `step`."""
        names = self._arguments()
        h = Scalars(**{name: resolve(getattr(self, name), step, dtype) for name in names})
        h = h.replace(**self.hyperparameters.read(dtype))
        h.t = ops.cast(step + 1, dtype)
        h.lr = self.rate_at(step, dtype)
        for part in self.parts:
            setattr(h, part, getattr(self, part).scalars(step, dtype))
        return h.replace(**self.prepare(h))

    # -- state -------------------------------------------------------------------------------

    def attach(self, model):
        """Tells the optimizer of the model whose variables it will move.

        `compile` does this. From the model's structure follow what `"auto"` means and
        which variables are kernels, embeddings or the output.
        """
        check(isinstance(model, keras.Model), "model", model, "a Keras model")
        self._model = weakref.ref(model)

    def build(self, variables):
        """Makes the state for these variables, once; without any there is nothing to make yet."""
        if self.built:
            return
        check_options(self)
        check_listed(variables)
        if not variables:
            return
        with backend.outside_graph():
            pieces = self._pieces()
            if pieces > 1 and self.evaluates_others:  # and every process must be able to
                known = "false on several workers: the weights to evaluate with need all state"
                check(pieces == len(backend.places(self)), "shard_state", True, known)
            self._admit(variables)
            late = comes_late(self, self.model_variables)
            self.make_hyperparameters()
            self.state = State(self, self.built_with, self._model(), pieces, late)
            if pieces > 1 and not late:
                self.state.copy_weights(self.model_variables)
            self.built = True

    def _pieces(self, replicas=None):
        """How many replicas have a piece of the state each; 1 if all have all of it."""
        return (replicas or backend.replicas(self)) if self.shard_state else 1

    def imagined(self, replicas):
        """The state that this optimizer would have on so many replicas, without its contents."""
        return imagined(self, self.built_with, self._model(), self._pieces(replicas))

    def planned(self, variables, replicas=None):
        """The `(name, bytes)` of all that `build` would allocate, without allocating it.

        Args:
            variables: Those that it would be built with.
            replicas: How many replicas there would be; `None` for those that there are.
        """
        state = imagined(self, variables, self._model(), self._pieces(replicas))
        found = [(v.name, math.prod(v.shape) * size_of(v.dtype)) for v in state.variables]
        for rule in (self, *(getattr(self, part) for part in self.parts)):
            scalars = [(v.name, size_of(v.dtype)) for v in rule.rate_variables().values()]
            found += [("hyperparameters", 8 * len(rule.numbers())), *scalars]
        return found

    def numbers(self):
        """The numbers among the arguments that may change while training, by name."""
        found = {
            name: getattr(self, name)
            for name, default in self._arguments().items()
            if is_hyperparameter(name, default) and is_number(getattr(self, name))
        }
        window = self.gradient_accumulation_steps
        return found if window is None else found | {"gradient_accumulation_steps": window}

    def make_hyperparameters(self):
        """Puts the numbers among the arguments into a variable, for the parts too."""
        self.hyperparameters = Hyperparameters(self.numbers(), self.add_variable)
        for part in self.parts:
            getattr(self, part).make_hyperparameters()

    def _arguments(self):
        """The arguments that rules and clipping see, with their defaults."""
        return ENGINE_NUMBERS | {
            name: default
            for name, default in declared_arguments(type(self)).items()
            if name not in declared_arguments(Optimizer)
        }

    @property
    def variables(self):
        """The optimizer's own variables."""
        return super().variables + [v for p in self.parts for v in getattr(self, p).variables]

    def averages(self):
        """The moving averages of the weights, one variable each."""
        return self.state.averages

    def adopt(self, indices):
        """Begins again with weights that somebody has set: what was a copy of them is one anew.

        Args:
            indices: Positions of the variables in `model_variables`.
        """
        self.state.adopt(indices, self.model_variables)

    def forget_traces(self):
        """Traces anew what is called between steps: a schedule in it is another one now."""
        if self.state is not None:
            self.state.closers.clear()

    def __setattr__(self, name, value):
        arguments = declared_arguments(Optimizer) | declared_arguments(type(self))
        if name in arguments and name != "learning_rate":
            if is_hyperparameter(name, arguments[name]):
                check_hyperparameter(name, value, arguments[name], self.bounds)
            if name == "gradient_accumulation_steps" and value is not None:
                check_integer(name, value, 1)
            if self.hyperparameters is not None:
                self._change(name, value)
            if name in self.masks:
                value = patterns(name, value)
        super().__setattr__(name, value)

    def _change(self, name, value):
        """Makes a new value of an argument count in steps that are compiled already."""
        old = getattr(self, name)
        decides = any(isinstance(s, Slot) and s.when == name for s in self.slots)
        dynamic = name in self.hyperparameters and is_number(value)
        if dynamic and not (decides and bool(value) != bool(old)):
            self.hyperparameters.set(name, value)
        elif value != old and not (isinstance(value, list) and tuple(value) == old):
            raise ValueError(
                f"Argument `{name}` is {old!r} and shapes the state or the compiled step, so it "
                f"cannot become {value!r} once the optimizer is built. Build a new optimizer."
            )

    # -- evaluation weights ------------------------------------------------------------------

    @contextmanager
    def evaluation_weights(self):
        """Inside this context the model holds the weights to evaluate with.

        Those are the averages if `use_ema`, and what a rule such as `ScheduleFree` names.
        Afterwards the trained weights are back, bit for bit.

        Example:
            >>> import keras, keras_gdx, numpy as np
            >>> w = keras.Variable([1.0])
            >>> optimizer = keras_gdx.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
            >>> for _ in range(2):
            ...     optimizer.apply([[1.0]], [w])
            >>> with optimizer.evaluation_weights():
            ...     print(w.numpy())
            [-0.5]
            >>> w.numpy()
            array([-1.], dtype=float32)
        """
        entered = self.weight_swap.enter()
        try:
            yield
        finally:
            if entered:
                self.weight_swap.leave()

    def finalize_variable_values(self, var_list):
        """Gives the model the weights to evaluate with. Keras calls this at the end of `fit`.

        The trained weights are kept, and the next `fit` goes on from them.
        """
        self.weight_swap.enter()

    # -- serialization -----------------------------------------------------------------------

    def configured(self, name):
        """The learning rate as it was given: a schedule may not know its values yet."""
        special = {"learning_rate": self.configured_rate, "no_decay": self.configured_decay}
        return special[name]() if name in special else super().configured(name)

    def save_own_variables(self, store):
        """Writes the state by variable path and slot name."""
        save_state(self, store)

    def load_own_variables(self, store):
        """Reads the state that matches; names the rest in one warning."""
        self.loads += load_state(self, store)


# What a rule that is part of another one leaves to that.
WHOLE = tuple(
    name
    for name in declared_arguments(Optimizer)
    if name not in ("learning_rate", "weight_decay", "before", "after", "name")
)
ENGINE_NUMBERS = {
    name: declared_arguments(Optimizer)[name]
    for name in ("weight_decay", "clipnorm", "global_clipnorm", "clipvalue", "ema_momentum")
}
