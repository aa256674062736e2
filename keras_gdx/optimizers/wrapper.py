"""Base class of optimizers that wrap another one and synchronize its weights periodically."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from keras_gdx.arguments import PositiveInt, Tensor
from keras_gdx.backends import backend
from keras_gdx.engine.late_weights import begin
from keras_gdx.engine.variables.masks import hold
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.slots import Shape
from keras_gdx.registry import get

__all__: list[str] = []


class Wrapper(Optimizer):
    """Base class of optimizers that periodically change the weights of an inner optimizer.

    `synchronize`, defined by the subclass, runs after every `sync_period`-th update of the inner
    optimizer. `learning_rate` and `iterations` are the inner optimizer's.

    Args:
        inner: Any Keras optimizer, or the name of one; `None` is `default_inner`.
        sync_period: Integer >= 1: updates between two synchronizations.
        name: Name of the optimizer.
    """

    default_inner = "adam"

    def __init__(
        self,
        inner: keras.optimizers.Optimizer | str | None,
        sync_period: PositiveInt,
        name: str | None,
    ):
        super().__init__(0.0, name=name)
        self.inner = get(self.default_inner if inner is None else inner, "inner", of=self)
        kept = getattr(self.inner, "precision", None)
        self._check(kept is None, "inner.precision", kept, "`None`: synchronization rounds weights")
        self.sync_period = sync_period

    def synchronize(self) -> None:
        """Sets the synchronized weights, on every replica."""
        raise NotImplementedError

    def build(self, variables: Sequence[Any]) -> None:
        super().build(variables)
        if self.built and not self.inner.built:
            with backend.outside_graph():
                self.inner.build(variables)

    def apply(
        self, grads: Iterable[Tensor], trainable_variables: Iterable[Any] | None = None
    ) -> None:
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            self.build(trainable_variables)
        if not self.built:  # nothing to train, or bad input that the inner optimizer reports
            self.inner.apply(grads, trainable_variables)
            return
        begin(self)
        before = backend.snapshot(self.iterations)
        self.inner.apply(grads, trainable_variables)
        self._synchronize_if_due(before)

    def flush(self) -> None:
        if not (isinstance(self.inner, Optimizer) and self.built):
            return
        before = self.iterations.numpy()
        self.inner.flush()
        if self.iterations.numpy() > before and self.iterations.numpy() % self.sync_period == 0:
            backend.outside_step(self, self._synchronize)()

    def _synchronize_if_due(self, before: Tensor) -> None:
        """Synchronizes if the last `apply` made a `sync_period`-th update."""
        now = backend.snapshot(self.iterations)
        due = ops.logical_and(now > before, now % self.sync_period == 0)
        touched = [*self.variables, *self.model_variables]
        backend.run_if(due, lambda _: self._synchronize(), [], touched)

    def _synchronize(self) -> None:
        self.synchronize()
        for variable in self.model_variables:
            hold(variable)

    def attach(self, model: keras.Model) -> None:
        super().attach(model)
        if isinstance(self.inner, Optimizer):
            self.inner.attach(model)

    def exclude_from_weight_decay(
        self, var_list: Sequence[Any] | None = None, var_names: Sequence[str] | None = None
    ) -> None:
        self.inner.exclude_from_weight_decay(var_list, var_names)

    def scale_loss(self, loss: Tensor) -> Tensor:
        return self.inner.scale_loss(loss)

    @contextmanager
    def evaluation_weights(self) -> Iterator[None]:
        with self.inner.evaluation_weights():
            yield

    def finalize_variable_values(self, var_list: Any) -> None:
        self.inner.finalize_variable_values(var_list)

    @property
    def iterations(self) -> Any:
        """The number of updates of the inner optimizer."""
        return self.inner.iterations

    @property
    def learning_rate(self) -> Any:
        """The inner optimizer's learning rate."""
        return self.inner.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.inner.learning_rate = value

    @property
    def variables(self) -> list[Any]:
        """The variables of this optimizer and of the inner one."""
        return super().variables + self.inner.variables

    def planned(
        self, variables: Sequence[Any], replicas: int | None = None
    ) -> list[tuple[str, int]]:
        own = super().planned(variables, replicas)
        ours = isinstance(self.inner, Optimizer)
        return own + self.inner.planned(variables, replicas) if ours else own

    def bytes_per_parameter(self, shape: Shape) -> float:
        own = super().bytes_per_parameter(shape)
        ours = isinstance(self.inner, Optimizer)
        return own + self.inner.bytes_per_parameter(shape) if ours else own
