"""The integration with Keras: a `keras.optimizers.Optimizer` whose step is ours.

Uses private names of Keras' optimizers; `tests/test_private_surface.py` lists them.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, Self

import keras
import numpy as np
from keras import ops
from keras.src.utils.tracking import (
    no_automatic_dependency_tracking,
)  # keeps lists out of checkpoints

from keras_gdx.advice import instead_of
from keras_gdx.arguments import (
    LearningRateSchedule,
    NonNegative,
    Tensor,
    accepts,
    check,
    check_type,
    is_schedule,
)
from keras_gdx.backends import backend
from keras_gdx.config import Configured, argument_types
from keras_gdx.engine.state.state import is_overwritten
from keras_gdx.engine.step import flush, step
from keras_gdx.engine.variables.spec import numbered
from keras_gdx.engine.variables.structure import check_pattern, path_of
from keras_gdx.integration.from_keras import read
from keras_gdx.registry import REGISTRY


class KerasOptimizer(Configured, keras.optimizers.Optimizer):
    """Counts updates, holds the learning rate, and passes gradients to the engine.

    Attributes:
        built_with: The model's variables that it was built with, in their order.
        overwritten: Those of them that are assigned new values instead of being updated.
    """

    built_with: list = []
    overwritten: list = []
    state: Any = None  # a `State`, once built
    no_decay: Literal["auto"] | Sequence[Any]
    exempt: tuple = ()  # variables without weight decay, in addition to those that `no_decay` names
    _rate_factor: Any = None  # a variable, if the rate follows a schedule

    def __init__(self, learning_rate: Any, name: str | None = None):
        super().__init__(_checked_rate(self, learning_rate), name=name)
        self._given_rate = learning_rate
        if is_schedule(learning_rate):
            self._rate_factor = self.add_variable(
                (), initializer="ones", dtype="float32", name="learning_rate_factor"
            )

    @classmethod
    def from_keras(cls, optimizer: keras.optimizers.Optimizer | str) -> Self:
        """Returns our rule that takes the steps of one of Keras' optimizers.

        Only the configuration is read, not the state. On one device the weights then agree with
        those of Keras up to rounding.

        Args:
            optimizer: An optimizer of Keras, or its name.

        Raises:
            ValueError: If ours would take other steps. The message names the reason;
                docs/differences.md compares the two.

        Example:
            >>> import keras, keras_gdx
            >>> theirs = keras.optimizers.RMSprop(1e-3, momentum=0.9)
            >>> optimizer = keras_gdx.optimizers.Optimizer.from_keras(theirs)
            >>> type(optimizer).__name__, optimizer.momentum
            ('RMSprop', 0.9)
        """
        name, arguments = read(optimizer)
        rule = REGISTRY[name].cls
        check(issubclass(rule, cls), "optimizer", rule.__name__, f"Keras' {cls.__name__}")
        return rule(**arguments)

    # -- counting ---------------------------------------------------------------------------

    @property
    def iterations(self) -> Any:
        """The number of updates made. Micro-batches and skipped steps do not count."""
        return self._iterations

    # -- learning rate ----------------------------------------------------------------------

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the next update.

        A number can be assigned at any time. If the rate follows a schedule, the remaining
        schedule is scaled so that it has that value now.
        """
        rate = self._learning_rate
        return rate if isinstance(rate, keras.Variable) else self.rate_at(self.iterations)

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        fixed = is_schedule(self._learning_rate) or isinstance(self._learning_rate, keras.Variable)
        if is_schedule(value) or callable(value) or not fixed:
            raise TypeError(
                f"The `learning_rate` of {type(self).__name__} is {self._given_rate!r} and "
                f"cannot become {value!r}, because steps may be compiled with it. Create a new "
                "optimizer."
            )
        if ops.is_tensor(value) or isinstance(value, (keras.Variable, np.ndarray)):
            value = float(ops.convert_to_numpy(value))
        _checked_rate(self, value)
        planned = self._given_rate
        if is_schedule(planned):
            planned = float(ops.convert_to_numpy(planned(self.iterations)))
            if planned == 0:
                allowed = "0 at this update: its schedule is 0, which no factor changes"
                advice = " For another rate, compile the model with a new optimizer."
                check(value == 0, "learning_rate", value, allowed, of=self, advice=advice)
                return
            self._rate_factor.assign(value / planned)
        else:
            self._learning_rate.assign(value)
        for part in self.part_rules().values():
            part.scale_rate(value / planned if planned else 1.0)

    def set_rate(self, rate: Tensor) -> None:
        """Like `learning_rate = rate`, for a tensor in a function that is being traced."""
        self._learning_rate.assign(rate)
        for part in self.part_rules().values():
            part.scale_rate(rate / self._given_rate if self._given_rate else 1.0)

    def scale_rate(self, factor: Tensor) -> None:
        """Sets the learning rate to `factor` times the constructor's argument."""
        if self._rate_factor is not None:
            self._rate_factor.assign(factor)
        elif isinstance(self._learning_rate, keras.Variable):
            self._learning_rate.assign(self._given_rate * factor)
        for part in self.part_rules().values():
            part.scale_rate(factor)

    def rate_at(self, step: Tensor, dtype: str = "float32") -> Tensor:
        """The learning rate at update `step`."""
        rate = self._learning_rate
        if is_schedule(rate):
            return ops.cast(rate(step), dtype) * ops.cast(self._rate_factor, dtype)
        return ops.cast(rate() if not isinstance(rate, keras.Variable) else rate, dtype)

    def rate_variables(self) -> dict[str, Any]:
        """The variables that hold the learning rate or its factor, by name."""
        if self._rate_factor is not None:
            return {"learning_rate_factor": self._rate_factor}
        if isinstance(self._learning_rate, keras.Variable):
            return {"learning_rate": self._learning_rate}
        return {}

    def configured_rate(self) -> Any:
        """The constructor's argument, or the number assigned since."""
        if not isinstance(self._learning_rate, keras.Variable):
            return self._given_rate
        now = ops.convert_to_numpy(self._learning_rate)
        return float(self._given_rate) if np.float32(self._given_rate) == now else float(now)

    def displayed(self, name: str) -> Any:
        """As given: no variable is read, so `repr` works while a function is traced."""
        if name == "name" and _is_generated(self.name, type(self).__name__):
            return None
        return self._given_rate if name == "learning_rate" else super().displayed(name)

    # -- variables --------------------------------------------------------------------------

    @property
    def model_variables(self) -> list[Any]:
        """The variables that this optimizer updates."""
        return self._trainable_variables

    def index(self, variable: Any) -> int:
        """The position of a variable in `model_variables`, or after them in `overwritten`."""
        return self._get_variable_index(variable)

    @no_automatic_dependency_tracking
    def _admit(self, variables):
        """Sets the variables to train; raises `ValueError` if they cannot be trained."""
        self.built_with = [backend.as_keras(v) for v in variables]
        for variable in self.built_with:
            if not keras.backend.is_float_dtype(variable.dtype):
                raise ValueError(
                    f"Only floating-point variables can be trained. `{path_of(variable)}` has "
                    f"dtype {variable.dtype}."
                )
            if self.precision == "stochastic" and variable.dtype == "float16":
                raise ValueError(
                    'Argument `precision` can be "stochastic" for bfloat16 weights only. '
                    f'`{path_of(variable)}` is float16; use "kahan".'
                )
        self._trainable_variables = [v for v in self.built_with if not is_overwritten(v)]
        self.overwritten = [v for v in self.built_with if is_overwritten(v)]
        everything = [*self._trainable_variables, *self.overwritten]
        self._trainable_variables_indices = {self._var_key(v): i for i, v in enumerate(everything)}

    # -- one step ---------------------------------------------------------------------------

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Tensor, Any]]) -> Any:
        """Calls `apply` with pairs of a gradient and its variable."""
        pairs = list(grads_and_vars)
        check(len(pairs) > 0, "grads_and_vars", pairs, "at least one pair of gradient and variable")
        return super().apply_gradients(pairs)

    def apply(
        self, grads: Iterable[Tensor], trainable_variables: Iterable[Any] | None = None
    ) -> None:
        """Applies the gradients of one micro-batch, one for each variable.

        Args:
            grads: Tensors or `tf.IndexedSlices` of the shapes of the variables. A variable
                whose gradient is `None` is not changed, with a warning.
            trainable_variables: The variables; may be left out once the optimizer is built.

        Raises:
            ValueError: If all gradients are `None`, or one has another shape than its
                variable, or a variable is not one the optimizer was built with.
        """
        grads = list(grads)
        if trainable_variables is None:
            known = self.built or not grads
            check(known, "trainable_variables", None, "given before the optimizer is built")
            trainable_variables = self.built_with
        variables = list(trainable_variables)
        if len(grads) != len(variables):
            raise ValueError(f"There are {len(grads)} gradients for {len(variables)} variables.")
        if not variables:  # all are frozen
            return
        if not self.built:
            self.build(variables)
        self.check_known(variables)
        grads, variables = self._filter_empty_gradients(grads, variables)
        pairs = zip(grads, variables, strict=True)
        gradients = {self.index(v): _checked_gradient(g, v) for g, v in pairs}
        if not backend.in_replica(self):
            raise ValueError(
                "`apply` must be called inside `strategy.run`, not only inside `strategy.scope`."
            )
        with keras.name_scope(self.name):
            backend.unconverted(step)(self, gradients)

    def check_known(self, variables: Sequence[Any]) -> None:
        """Raises `ValueError` if the optimizer was not built with all of these variables."""
        unknown = [
            v for v in variables if self._var_key(v) not in self._trainable_variables_indices
        ]
        if unknown:
            raise unknown_variables(unknown)

    def update_step(self, gradient: Tensor, variable: Any, learning_rate: Tensor) -> None:
        """Not used: `apply` updates all variables together."""
        raise TypeError("Call `apply`: a keras_gdx optimizer updates all variables together.")

    def flush(self) -> None:
        """Applies the gradients of an accumulation window that is still open.

        They are divided by the number of micro-batches actually summed. `fit` calls this at the
        end of every epoch; a custom training loop should call it at its end.
        """
        flush(self)

    # -- moving averages ---------------------------------------------------------------------------

    @property
    def _model_variables_moving_average(self):
        """The moving averages, where Keras' callbacks look for them."""
        if not self.use_ema:
            raise AttributeError("There are no moving averages without `use_ema`.")
        return self.averages()

    @no_automatic_dependency_tracking
    def exclude_from_weight_decay(
        self, var_list: Sequence[Any] | None = None, var_names: Sequence[str] | None = None
    ) -> None:
        """Adds to `no_decay`, as in Keras; unlike there, it is saved with the optimizer.

        Args:
            var_list: Variables without decay: exactly these, not others with the same path.
            var_names: Regular expressions; variables whose path matches one have no decay.

        Raises:
            ValueError: If it adds something after the optimizer is built.
        """
        for name, given in (("var_list", var_list), ("var_names", var_names)):
            check(given is None or isinstance(given, (list, tuple)), name, given, "a list")
        for name in var_names or ():
            check_pattern("var_names", name)
        exempt, entries = {id(v) for v in self.exempt}, self.no_decay_entries
        variables = [v for v in var_list or () if id(v) not in exempt]
        names = [name for name in var_names or () if name not in entries]
        # Replicas and traced functions may repeat a call.
        if self.built and (variables or names):
            raise ValueError("`exclude_from_weight_decay` must be called before the first step.")
        self.exempt = (*self.exempt, *variables)
        if names:
            self.no_decay = (*entries, *names)

    def configured_decay(self) -> Any:
        """`no_decay` plus the exempt variables, each as path and index among equal paths."""
        if not self.exempt:
            return self.no_decay
        model, exempt = self._model(), {id(v) for v in self.exempt}
        variables = self.model_variables or (model.trainable_variables if model else self.exempt)
        named = zip(variables, numbered(variables, model), strict=True)
        return (*self.no_decay_entries, *(name for v, name in named if id(v) in exempt))


def _is_generated(name: str, cls: str) -> bool:
    """Whether a name is one that Keras makes from the class, such as `"rm_sprop_2"`."""
    return re.sub(r"_\d+$", "", name).replace("_", "") == cls.lower()


def unknown_variables(variables):
    """The error if variables are to be updated that the optimizer was not built with."""
    paths = ", ".join(path_of(v) for v in variables[:5]) + (", ..." if variables[5:] else "")
    return ValueError(
        f"The optimizer was not built with these variables and has no state for them: {paths}. "
        "Compile the model again with a new optimizer. To train layers later that are frozen at "
        "first, use the callback `Unfreezing`."
    )


def check_listed(variables):
    """Raises `ValueError` unless this is a list of variables."""
    listed = isinstance(variables, (list, tuple)) and all(hasattr(v, "dtype") for v in variables)
    check(listed, "variables", variables, "a list of variables")


def _checked_rate(optimizer, rate):
    """The learning rate in a form that Keras accepts."""
    if is_schedule(rate) or (callable(rate) and not isinstance(rate, type)):
        return rate
    allowed = "a number >= 0, a LearningRateSchedule or a callable without arguments"
    advice = instead_of("learning_rate", rate, (float, LearningRateSchedule))
    check(accepts(NonNegative, rate), "learning_rate", rate, allowed, optimizer, advice)
    check_type("learning_rate", rate, argument_types(type(optimizer))["learning_rate"], optimizer)
    return float(rate)


def _checked_gradient(gradient, variable):
    if not (ops.is_tensor(gradient) or backend.rows(gradient) is not None):
        gradient = ops.convert_to_tensor(gradient, variable.dtype)
    gradient = backend.with_table(gradient, variable)
    if not backend.is_fully_known(gradient.shape):
        return backend.ensure_shape(gradient, variable.shape)
    shape, expected = tuple(gradient.shape), tuple(variable.shape)
    if shape != expected:
        raise ValueError(
            f"The gradient of `{path_of(variable)}` has shape {shape}, the variable {expected}."
        )
    return gradient
