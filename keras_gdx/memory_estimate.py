"""Predicts the memory of training a model, before anything is allocated."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from heapq import nlargest
from math import prod
from typing import Any, overload

import keras

from keras_gdx.arguments import PositiveInt, check, check_built, check_type
from keras_gdx.backends import backend
from keras_gdx.creation import create
from keras_gdx.engine.state.state import AVERAGE, size_of
from keras_gdx.optimizers import Optimizer
from keras_gdx.registry import list as names
from keras_gdx.report.markup import table
from keras_gdx.report.notebook import notebook

__all__ = ["Memory", "memory"]

KEPT = {AVERAGE: "averages", "sum": "sums"}  # all other variables of an optimizer count as `state`


@dataclass(frozen=True)
class Memory:
    """Bytes of memory on each device.

    Attributes:
        rule: The rule's name.
        weights: All variables of the model.
        gradients: One gradient for each trainable weight.
        state: The optimizer's slots and scalars.
        averages: The moving averages of `use_ema`.
        sums: The accumulated gradients of `gradient_accumulation_steps`.
        activations: An estimate: the outputs of all layers for the device's share of a batch.
            0 without a batch size, or for a model without a graph of layers.
        update: An estimate of what an update needs beside this on a CPU, outside XLA: a copy of
            the largest tensor that is updated as one, and three more if small variables are joined
            in it; and what rules such as `Muon` and `SOAP` multiply matrices in, which grows with
            the number of cores.
        replicas: The number of devices.
    """

    rule: str
    weights: int
    gradients: int
    state: int
    averages: int = 0
    sums: int = 0
    activations: int = 0
    update: int = 0
    replicas: int = 1

    @property
    def total(self) -> int:
        """The sum of all parts but `update`, on each device."""
        others = ("rule", "update", "replicas")
        return sum(getattr(self, f.name) for f in fields(self) if f.name not in others)

    @property
    def peak(self) -> int:
        """Estimate of what a step needs; the activations are gone when the update begins."""
        return self.total + max(self.update - self.activations, 0)

    def __str__(self) -> str:
        return str(Table([self]))

    def _repr_html_(self) -> str:
        return Table([self])._repr_html_()


class Table(list[Memory]):
    """A list of `Memory` that prints as a table, in MiB, in its order; so it does in notebooks."""

    @property
    def columns(self) -> list[str]:
        """The parts of which at least one rule needs some."""
        parts = ["weights", "gradients", "state", "averages", "sums", "activations"]
        every = [*parts, "total", "peak"]
        return [name for name in every if any(getattr(m, name) for m in self)]

    def __str__(self) -> str:
        lines = ["".join([f"{'MiB':20}", *(f"{c:>12}" for c in self.columns)])]
        for m in self:
            numbers = [f"{getattr(m, c) / 2**20:12,.2f}" for c in self.columns]
            lines.append("".join([f"{m.rule:20}", *numbers]))
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [
            {"rule": m.rule} | {c: round(getattr(m, c) / 2**20, 2) for c in self.columns}
            for m in self
        ]
        return notebook(table("Memory on each device, in MiB", rows, sortable=True))


@overload
def memory(
    model: keras.Model,
    rule: None = None,
    *,
    batch_size: PositiveInt | None = None,
    replicas: PositiveInt = 1,
    **options: Any,
) -> Table: ...


@overload
def memory(
    model: keras.Model,
    rule: str | Optimizer,
    *,
    batch_size: PositiveInt | None = None,
    replicas: PositiveInt = 1,
    **options: Any,
) -> Memory: ...


def memory(
    model: keras.Model,
    rule: str | Optimizer | None = None,
    *,
    batch_size: PositiveInt | None = None,
    replicas: PositiveInt = 1,
    **options: Any,
) -> Memory | Table:
    """Predicts the memory that training `model` with `rule` will take.

    Weights, gradients, state, averages and sums are counted exactly, from the plan by which they
    are allocated. Activations and the temporary tensors of an update (`update`) are estimates.
    Other temporary memory (copies in a forward pass, buffers of an all-reduce) is not counted.

    Args:
        model: A built Keras model.
        rule: The name of a rule, or an optimizer of this package. `None`: all rules, as a
            table sorted by state.
        batch_size: Integer >= 1: examples in a global batch. `None` omits activations.
        replicas: Integer >= 1: devices among which a batch is divided. Everything else is
            replicated, except the state of an optimizer with `shard_state`.
        **options: Arguments of the rule, if it is given by name: `state_dtype="int8"`.

    Returns:
        A `Memory`, in bytes on each device, or a list of them. Both print as a table.

    Raises:
        ValueError: If the model is not built or has nothing to train, or an argument is
            out of its range.

    Example:
        >>> import keras, keras_gdx
        >>> model = keras.Sequential([keras.Input((1024,)), keras.layers.Dense(1024)])
        >>> print(keras_gdx.memory(model, "adamw", state_dtype="int8"))
        MiB                      weights   gradients       state       total        peak
        adamw                       4.00        4.00        2.04       10.05       14.05
    """
    check_built(model)
    check(model.trainable_variables, "model", model, "one with weights to train")
    check_type("replicas", replicas, PositiveInt)
    check_type("batch_size", batch_size, PositiveInt | None)
    if rule is None:
        found = [
            memory(model, name, batch_size=batch_size, replicas=replicas, **options)
            for name in names(kind="optimizer")
        ]
        return Table(sorted(found, key=lambda m: m.state))
    if isinstance(rule, Optimizer):
        check(not options, "options", options, "omitted, because the optimizer has its own")
        optimizer = rule
    else:
        optimizer = create(rule, model, **options)
    trained = model.trainable_variables
    kept = {"state": 0}
    for name, size in optimizer.planned(trained, replicas):
        kind = KEPT.get(name, "state")
        kept[kind] = kept.get(kind, 0) + size
    return Memory(
        rule=type(optimizer).__name__.lower(),
        weights=_bytes(model.variables),
        gradients=_bytes(trained),
        activations=_activations(model, -(-batch_size // replicas)) if batch_size else 0,
        update=_update(optimizer, trained, replicas),
        replicas=replicas,
        **kept,
    )


def _bytes(variables: Iterable[Any]) -> int:
    return sum(prod(v.shape) * size_of(v.dtype) for v in variables)


def _update(optimizer: Optimizer, variables: Any, replicas: int) -> int:
    """Bytes of what the largest update joins or cannot overwrite, and of all workspaces in use."""
    buckets = optimizer.imagined(replicas, variables).buckets
    in_turn = [_workspace(b) for b in buckets if _is_one_program(b)]
    together = [_workspace(b) for b in buckets if not _is_one_program(b)]
    at_once = nlargest(backend.programs_at_once(), in_turn)
    return max(map(_copied, buckets)) + sum(at_once) + sum(together)


def _copied(bucket: Any) -> int:
    return (1 + 3 * bucket.packed) * prod(bucket.own_shape) * size_of(bucket.dtype)


def _workspace(bucket: Any) -> int:
    shape, role = bucket.own_shape, bucket.spec.role
    shapes = {slot.name: slot.shape_for(shape, role) for slot in bucket.rule.own_slots()}
    sizes = {name: prod(s) if s else 0 for name, s in shapes.items()}
    return bucket.rule.workspace(prod(shape), sizes) * size_of(bucket.dtype)


def _is_one_program(bucket: Any) -> bool:
    """Whether its temporary tensors are those of a program; others are made for all variables."""
    return bool(bucket.fused) and bucket.rule.divisible


def _activations(model: Any, examples: int) -> int:
    """The outputs of the layers of a functional model; unknown axes count as 1."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            total += _activations(layer, examples)
            continue
        try:
            outputs = keras.tree.flatten(layer.output)
        except (AttributeError, ValueError):  # never called symbolically, or several times
            continue
        total += sum(
            examples * prod(n or 1 for n in x.shape[1:]) * size_of(x.dtype) for x in outputs
        )
    return total
