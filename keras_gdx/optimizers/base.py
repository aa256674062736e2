"""The optimizer base class: an update rule plus options, state, weight averages and saving."""

import math
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import keras
from keras import ops

from keras_gdx.arguments import (
    Fraction,
    LearningRate,
    NonNegative,
    Positive,
    PositiveFloat,
    PositiveInt,
    Tensor,
    check,
    is_number,
    may_change,
)
from keras_gdx.backends import backend
from keras_gdx.checkpoint.optimizer_state import load_state, save_state
from keras_gdx.config import argument_types, declared_arguments
from keras_gdx.engine.hyperparameters import (
    Hyperparameters,
    Scalars,
    resolve,
)
from keras_gdx.engine.late_weights import comes_late
from keras_gdx.engine.state.state import State, imagined, size_of
from keras_gdx.integration.keras_optimizer import KerasOptimizer, check_listed
from keras_gdx.integration.weight_swap import WeightSwap, averaged
from keras_gdx.optimizers.options import CLIPS, AnyModifier, check_options, patterns
from keras_gdx.optimizers.rule import Rule
from keras_gdx.optimizers.slots import declared


class Optimizer(Rule, KerasOptimizer):
    """Base class of every optimizer.

    A subclass provides three things: `__init__` stores each argument under its own name,
    `slots` declares the state per variable, and `direction` computes the step as a pure
    function of tensors (see `Rule`). This class and the engine do the rest.

    Options of every optimizer:

    Args:
        learning_rate: Number >= 0, `LearningRateSchedule` of the update index, or a
            callable without arguments.
        weight_decay: Number >= 0 or schedule. Decoupled: every update subtracts
            `learning_rate * weight_decay * w` from `w`. `None`: no decay.
        decay: `"plain"` decays every entry of a variable; `"cautious"` only those in which the
            direction moves towards zero or is zero, `u * w >= 0` (arXiv:2510.12402).
        no_decay: Regular expressions; a variable whose path matches one is not decayed.
            `"auto"`, alone or as one of them, exempts vectors, scalars, normalization and
            embeddings. A path with a number, `["head/kernel", 1]`, selects one of several
            variables with the same path, counted from 0.
        lr_multipliers: Dictionary from regular expressions on paths to learning-rate
            multipliers. The first match counts.
        before: Modifiers applied to the reduced gradient, in this order.
        after: Modifiers applied to the direction, in this order.
        state_dtype: Dtype of the slots. `None`: the variable's dtype, but at least float32.
            `"bfloat16"`, `"float16"` or `"float32"`: that dtype. `"int8"`: slots of 4,096
            values or more are stored at 8.125 bits per value; with `sparse="lazy"` at 8 bits per
            value and 32 per row, if rows have at least 4 values.
        shard_state: If true, each of N replicas stores a 1/N shard of the slots and computes
            that part of every update; the new weights are then gathered (ZeRO stage 1). Rules
            and modifiers that mix the entries of a tensor cannot split a slot; there each
            replica holds the slots of complete variables, which saves memory only with several
            variables of one shape. The weights are the same. No effect on one replica.
        reduce_dtype: Dtype in which gradients are sent between replicas. `"bfloat16"` and
            `"float16"` halve the bytes of float32 and round each sum to 8 or 11 significant
            bits; `"float16"` overflows beyond 65,504. `None`: the gradient's own dtype.
        precision: How 16-bit weights accumulate updates smaller than their rounding error.
            `"kahan"` carries the rounding error to the next update, at 16 more bits per weight
            (arXiv:2010.06192). `"stochastic"` rounds bfloat16 weights stochastically: unbiased,
            without extra state. `None` rounds to nearest. No effect on float32 or wider.
        sparse: `"dense"` converts a `tf.IndexedSlices` gradient to a dense one. `"lazy"`
            updates only the rows that it contains: slots and decay of other rows do not
            change, but bias corrections count every update.
        skipped: With `sparse="lazy"`, what the moving averages of a row do in updates that skip
            it. `"decay"`: when the row is updated next, they are multiplied as often by their
            decay rates as updates were skipped, so that they equal those of `sparse="dense"`; 4
            bytes per row. `"rest"`: nothing. Rules whose averages decay otherwise refuse it.
        fused: TensorFlow only. `"auto"` packs small variables into buckets and, in steps that
            are not compiled, compiles the update of large ones; `True` compiles all updates;
            `False` updates each variable separately and compiles nothing. The weights are the
            same.
        skip_nonfinite: If true, an update whose reduced gradient contains a NaN or an
            infinity is skipped: nothing changes, and it is not counted.
        clipnorm: Number > 0 or schedule: maximum norm of each gradient.
        global_clipnorm: Number > 0 or schedule: maximum norm of all gradients together.
        clipvalue: Number > 0 or schedule: maximum absolute value of each entry. Only one of
            the three can be given.
        use_ema: If true, keeps an exponential moving average (EMA) of the weights, in at least
            float32. It starts as a copy of the weights after the first update.
        ema_momentum: Number in [0, 1] or schedule: decay rate of the EMA.
        ema_overwrite_frequency: Integer >= 1: updates between two replacements of the weights
            by their EMA. `None`: only at the end of `fit`.
        loss_scale_factor: Number > 0 by which `scale_loss` multiplies the loss and the
            update divides the gradients.
        gradient_accumulation_steps: Integer >= 1: micro-batches per update, the accumulation
            window. `None` is 1 without accumulators; any other value can be changed during
            training. An update uses the sum of the accumulated gradients divided by the number
            of micro-batches; a variable that received no gradient does not change.
        name: Name of the optimizer.

    Raises:
        ValueError: At construction, if an argument is out of its range.
    """

    built = False
    loads = 0  # how often state was read from a file
    left_alone = False  # true: a file's state belongs to the optimizer that wraps this one
    hyperparameters: Any = None  # `Hyperparameters`, once built
    reduction = "global"  # how replicas combine gradients, a key of `step.REDUCTIONS`

    def __init__(
        self,
        learning_rate: LearningRate,
        *,
        weight_decay: NonNegative | None = None,
        decay: Literal["plain", "cautious"] = "plain",
        no_decay: Literal["auto"] | Sequence[Any] = (),
        lr_multipliers: Mapping[str, float] | None = None,
        before: Sequence[AnyModifier] = (),
        after: Sequence[AnyModifier] = (),
        state_dtype: Literal["float32", "bfloat16", "float16", "int8"] | None = None,
        shard_state: bool = False,
        reduce_dtype: Literal["bfloat16", "float16"] | None = None,
        precision: Literal["kahan", "stochastic"] | None = None,
        sparse: Literal["dense", "lazy"] = "dense",
        skipped: Literal["rest", "decay"] = "rest",
        fused: Literal["auto"] | bool = "auto",
        skip_nonfinite: bool = False,
        clipnorm: Positive | None = None,
        global_clipnorm: Positive | None = None,
        clipvalue: Positive | None = None,
        use_ema: bool = False,
        ema_momentum: Fraction = 0.99,
        ema_overwrite_frequency: PositiveInt | None = None,
        loss_scale_factor: PositiveFloat | None = None,
        gradient_accumulation_steps: PositiveInt | None = None,
        name: str | None = None,
    ):
        super().__init__(learning_rate, name=name)
        self._model: Callable[[], keras.Model | None] = lambda: None
        self.weight_swap = WeightSwap(self)
        self.weight_decay = weight_decay
        self.decay = decay
        self.no_decay = no_decay
        self.lr_multipliers = lr_multipliers
        self.before = before
        self.after = after
        self.state_dtype = state_dtype
        self.shard_state = shard_state
        self.reduce_dtype = reduce_dtype
        self.precision = precision
        self.sparse = sparse
        self.skipped = skipped
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

    def evaluation_values(self, trained: Sequence[Tensor]) -> Sequence[Tensor] | None:
        """The weights to evaluate with, from the trained ones; `None` if they are the same."""
        return self.averages() if self.use_ema else None

    @property
    def evaluates_others(self) -> bool:
        """Whether `evaluate`, `predict`, `save` and validation swap in the evaluation weights.

        True for rules whose trained weights are not meant to be evaluated. With `use_ema` the
        model holds the EMA only after `fit`, or inside `evaluation_weights()`.
        """
        return type(self).evaluation_values is not Optimizer.evaluation_values

    # -- scalars -----------------------------------------------------------------------------

    @property
    def no_decay_entries(self) -> tuple[Any, ...]:
        """The entries of `no_decay`: regular expressions, `"auto"`, paths with numbers."""
        return ("auto",) if self.no_decay == "auto" else tuple(self.no_decay)

    def scalars(self, step: Tensor, dtype: str) -> Scalars:
        """The scalars, `h`, of the update with index `step`."""
        names = self._arguments()
        h = Scalars(**{name: resolve(getattr(self, name), step, dtype) for name in names})
        h = h.replace(**self.hyperparameters.read(dtype))
        h.t = ops.cast(step + 1, dtype)
        h.lr = self.rate_at(step, dtype)
        for name, part in self.part_rules().items():
            setattr(h, name, part.scalars(step, dtype))
        return h.replace(**self.prepare(h))

    # -- state -------------------------------------------------------------------------------

    def attach(self, model: keras.Model) -> None:
        """Gives the optimizer the model that it will train; `compile` calls this.

        The model's structure tells which variables are kernels, embeddings or the output layer,
        and which ones `"auto"` exempts from decay.
        """
        check(isinstance(model, keras.Model), "model", model, "a Keras model")
        self._model = weakref.ref(model)

    def build(self, variables: Sequence[Any]) -> None:
        """Creates the state for `variables`; does nothing if already built or if there are none."""
        if self.built:
            return
        check_options(self)
        check_listed(variables)
        if not variables:
            return
        with backend.outside_graph():
            shards = self._shards()
            if shards > 1 and self.evaluates_others:  # each process then needs all shards
                known = "False on several workers: evaluation weights need the complete state"
                self._check(shards == len(backend.local_replicas(self)), "shard_state", True, known)
            self._admit(variables)
            late = comes_late(self, self.model_variables)
            self.make_hyperparameters()
            self.state = State(self, self.built_with, self._model(), shards, late)
            if shards > 1 and not late:
                self.state.copy_weights(self.model_variables)
            self.built = True

    def _shards(self, replicas: int | None = None) -> int:
        """The number of shards of the state; 1 if every replica has all of it."""
        return (replicas or backend.replicas(self)) if self.shard_state else 1

    def imagined(
        self, replicas: int | None = None, variables: Sequence[Any] | None = None
    ) -> State:
        """The state that this optimizer would have, without its values.

        Args:
            replicas: Number of replicas; `None` for the current number.
            variables: The variables; `None` for those that it was built with.
        """
        variables = self.built_with if variables is None else variables
        return imagined(self, variables, self._model(), self._shards(replicas))

    def planned(
        self, variables: Sequence[Any], replicas: int | None = None
    ) -> list[tuple[str, int]]:
        """The `(name, bytes)` of everything `build` would allocate, without allocating it.

        Args:
            variables: Variables to plan for.
            replicas: Number of replicas to plan for; `None` for the current number.
        """
        state = self.imagined(replicas, variables)
        found = [(v.name, math.prod(v.shape) * size_of(v.dtype)) for v in state.variables]
        for rule in self.all_rules():
            scalars = [(v.name, size_of(v.dtype)) for v in rule.rate_variables().values()]
            found += [("hyperparameters", 8 * len(rule.numbers())), *scalars]
        return found

    def numbers(self) -> dict[str, float]:
        """The numeric arguments that can change during training, by name."""
        types = argument_types(type(self))
        found = {
            name: getattr(self, name)
            for name in self._arguments()
            if may_change(types[name]) and is_number(getattr(self, name))
        }
        window = self.gradient_accumulation_steps
        return found if window is None else found | {"gradient_accumulation_steps": window}

    def make_hyperparameters(self) -> None:
        """Stores the numeric arguments in a variable, here and in each of `parts`."""
        self.hyperparameters = Hyperparameters(self.numbers(), self.add_variable)
        for part in self.part_rules().values():
            part.make_hyperparameters()

    def _arguments(self) -> dict[str, Any]:
        """The arguments that rules and clipping read, with their defaults."""
        return ENGINE_ARGUMENTS | {
            name: default
            for name, default in declared_arguments(type(self)).items()
            if name not in declared_arguments(Optimizer)
        }

    @property
    def variables(self) -> list[Any]:
        """The optimizer's own variables."""
        return super().variables + [v for p in self.part_rules().values() for v in p.variables]

    def averages(self) -> list[Any]:
        """The EMAs of the weights, one variable each."""
        return self.state.averages

    def adopt(self, indices: Sequence[int]) -> None:
        """Copies weights that were set from outside into the slots and EMAs that mirror them.

        Args:
            indices: Positions of those variables in `model_variables`.
        """
        self.state.adopt(indices, self.model_variables)

    def forget_traces(self) -> None:
        """Discards the compiled `flush`, so that it is traced with the new schedule."""
        if self.state is not None:
            self.state.closers.clear()

    def accept(self, name: str, value: Any) -> Any:
        """Validates a new value of an argument, and applies it to steps already compiled."""
        value = super().accept(name, value)
        if self.hyperparameters is not None:
            self._change(name, value)
        return patterns(name, value, self) if name in self.masks else value

    def _change(self, name: str, value: Any) -> None:
        """Applies a new argument value to steps that are already compiled, if possible."""
        old = getattr(self, name)
        decides = any(slot.when == name for slot in declared(self.slots))
        dynamic = name in self.hyperparameters and is_number(value)
        if dynamic and not (decides and bool(value) != bool(old)):
            self.hyperparameters.set(name, value)
        elif value != old and not (isinstance(value, list) and tuple(value) == old):
            raise ValueError(
                f"Argument `{name}` is {old!r} and determines the state or the compiled step, so "
                f"it cannot become {value!r} once the optimizer is built. Create a new optimizer."
            )

    # -- evaluation weights ------------------------------------------------------------------

    @contextmanager
    def evaluation_weights(self) -> Iterator[None]:
        """Context in which the model holds the weights to evaluate with.

        These are the EMA if `use_ema`, or the averages of a rule such as `ScheduleFree`.
        On exit the trained weights are restored, bit for bit.

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

    def finalize_variable_values(self, var_list: Any) -> None:
        """Leaves the evaluation weights in the model; Keras calls this at the end of `fit`.

        The trained weights are kept, and the next `fit` resumes from them. Averages of a
        `WeightAverager` stay instead.
        """
        model = self._model()
        if model is None or not averaged(model):
            self.weight_swap.enter()

    # -- serialization -----------------------------------------------------------------------

    def configured(self, name: str) -> Any:
        """The value of an argument for `get_config`; learning rate and `no_decay` as given."""
        special = {"learning_rate": self.configured_rate, "no_decay": self.configured_decay}
        return special[name]() if name in special else super().configured(name)

    def save_own_variables(self, store: Any) -> None:
        """Writes the state by variable path and slot name."""
        save_state(self, store)

    def load_own_variables(self, store: Any) -> None:
        """Reads the state that matches; lists the rest in one warning."""
        self.loads += load_state(self, store)


# The options of every optimizer, with their defaults.
OPTIONS = {
    name: default
    for name, default in declared_arguments(Optimizer).items()
    if name not in ("learning_rate", "name")
}
ENGINE_ARGUMENTS = {
    name: OPTIONS[name] for name in ("weight_decay", "decay", *CLIPS, "ema_momentum")
}
