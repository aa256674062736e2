"""Local SGD and DiLoCo: replicas that synchronize periodically."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_gdx.arguments import PositiveInt, Tensor
from keras_gdx.backends import backend
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.slots import Shape, Slot
from keras_gdx.optimizers.wrapper import Wrapper
from keras_gdx.registry import get, register

__all__ = ["LocalSteps"]


@register
class LocalSteps(Wrapper):
    r"""Trains the replicas independently, and synchronizes them every `sync_period` updates.

    Replica $r$ updates its weights with the inner optimizer and the mean gradient of its own part
    of the batch, without communication. After every `sync_period`-th update, with $\bar w$ the
    mean of the replicas' weights, they are set to

    $$w_r \leftarrow \bar w$$

    or, with an `outer` optimizer that uses their change as a gradient (DiLoCo), to

    $$\phi \leftarrow \mathrm{outer}(\phi, \phi - \bar w), \qquad w_r \leftarrow \phi.$$

    So 4 bytes per weight are sent every `sync_period` updates, not in every update. The end of an
    epoch synchronizes, too. Each replica has its own slots of the inner optimizer; a saved model
    has those of the first replica, a `ResumableCheckpoint` has all. The result differs from
    synchronous training: it equals one device with the complete batch only for plain `SGD` with
    `sync_period=1`. On one replica this is the inner optimizer, or, with `outer`, a `Lookahead`
    whose slow weights are updated by `outer`.

    Args:
        inner: Optimizer of this package, or the name of one; `AdamW()` if `None`.
        outer: Optimizer of this package, or the name of one, or `None`. DiLoCo uses
            `SGD(0.7, momentum=0.9, nesterov=True)`.
        sync_period: Integer >= 1: updates between two synchronizations.
        name: Name of the optimizer.

    Raises:
        ValueError: If an argument is out of its range, or `inner` has `precision`, whose state
            synchronization would discard, or `use_ema`, `skip_nonfinite` or `shard_state`, which
            need all replicas in every update.

    Memory: 0 bytes per parameter more than `inner`; with `outer` 4 (`slow`) and the outer's own.

    Example:
        >>> from keras_gdx.optimizers import SGD, AdamW, LocalSteps
        >>> outer = SGD(0.7, momentum=0.9, nesterov=True)
        >>> optimizer = LocalSteps(AdamW(4e-4, weight_decay=0.1), outer=outer, sync_period=100)

    Source: arXiv:1805.09767, Stich 2018; arXiv:2311.08105, Douillard et al. 2023
    Verified against: replicas trained one by one, and NumPy
    """

    slots = (Slot("slow", init="variable", when="outer"),)
    default_inner = "adamw"

    def __init__(
        self,
        inner: Optimizer | str | None = None,
        *,
        outer: Optimizer | str | None = None,
        sync_period: PositiveInt = 8,
        name: str | None = None,
    ):
        super().__init__(inner, sync_period, name)
        ours = isinstance(self.inner, Optimizer)
        self._check(
            ours, "inner", inner, "an optimizer of keras_gdx: others reduce their gradients"
        )
        for option in ("use_ema", "skip_nonfinite", "shard_state"):
            value = getattr(self.inner, option)
            self._check(
                not value, f"inner.{option}", value, "`False`: replicas update independently"
            )
        self.outer: Any = None
        if outer is not None:
            self.outer = get(outer, "outer", of=self)
            ours = isinstance(self.outer, Optimizer)
            self._check(ours, "outer", outer, "an optimizer of keras_gdx, or None")
            self.outer.reduction = "none"
        self.inner.reduction = "local"
        self._together_at = 0

    def build(self, variables: Sequence[Any]) -> None:
        super().build(variables)
        if self.built and self.outer is not None and not self.outer.built:
            with backend.outside_graph():
                self.outer.build(variables)

    def synchronize(self) -> None:
        values = [backend.snapshot(v) for v in self.overwritten]
        for variable, largest in zip(self.overwritten, backend.largest(values), strict=True):
            variable.assign(largest)
        buckets = self.state.buckets
        weights = [bucket.together(self.model_variables) for bucket in buckets]
        means = backend.mean(
            [
                ops.cast(backend.snapshot(w.value), g.dtype)
                for w, g in zip(weights, buckets, strict=True)
            ]
        )
        if self.outer is None:
            for kept, mean in zip(weights, means, strict=True):
                kept.assign(ops.cast(mean, kept.dtype))
            return
        gradients: dict[int, Tensor] = {}
        for bucket, kept, mean in zip(buckets, weights, means, strict=True):
            slow = ops.convert_to_tensor(bucket.slots["slow"].read())
            kept.assign(ops.cast(slow, kept.dtype))
            gradients |= dict(zip(bucket.indices, bucket.split(slow - mean), strict=True))
        self.outer.apply([gradients[i] for i in sorted(gradients)], self.model_variables)
        for bucket, kept in zip(buckets, weights, strict=True):
            bucket.slots["slow"].write(ops.cast(kept.value, bucket.dtype))

    def flush(self) -> None:
        """Closes the inner optimizer's accumulation window, and synchronizes the replicas."""
        super().flush()
        if not self.built:
            return
        now = int(self.iterations.numpy())
        if now % self.sync_period and now != self._together_at:
            backend.outside_step(self, self.synchronize)()
            self._together_at = now

    def attach(self, model: keras.Model) -> None:
        super().attach(model)
        if self.outer is not None:
            self.outer.attach(model)

    @property
    def variables(self) -> list[Any]:
        """The variables of this optimizer, the inner and the outer one."""
        return super().variables + (self.outer.variables if self.outer is not None else [])

    def planned(
        self, variables: Sequence[Any], replicas: int | None = None
    ) -> list[tuple[str, int]]:
        own = super().planned(variables, replicas)
        return own if self.outer is None else own + self.outer.planned(variables, replicas)

    def bytes_per_parameter(self, shape: Shape) -> float:
        own = super().bytes_per_parameter(shape)
        return own if self.outer is None else own + self.outer.bytes_per_parameter(shape)
