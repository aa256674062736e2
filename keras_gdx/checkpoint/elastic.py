"""Restores checkpoints on a different number of replicas.

State that all replicas have in common is kept. State that each replica accumulates separately
(gradients of an open window, metrics) is summed and redistributed. Shards of optimizer state are
joined and cut again. Other floats that differ (statistics, weights between two
synchronizations) are averaged. So the run continues as on one device, up to rounding; only dropout
draws different masks.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_gdx.backends import backend
from keras_gdx.checkpoint.snapshot import (
    check_layout,
    put_the_rest,
    saved_replica_count,
    variables_of,
)
from keras_gdx.engine.state.storage import common
from keras_gdx.engine.state.views import read_all, write_all
from keras_gdx.integration.held import held_variables
from keras_gdx.integration.model_optimizers import keras_accumulators, ours


def put(
    model: keras.Model,
    snapshots: Sequence[dict[str, Any]],
    first: bool,
    source: str | os.PathLike[str],
) -> None:
    """Restores the state that a different number of replicas saved.

    Args:
        model: The model.
        snapshots: What `snapshot.take` returned in each of the saving processes, in order.
        first: Whether this process has the first replica.
        source: Where the snapshots come from, for the error.

    Raises:
        ValueError: If they belong to another model or optimizer. Nothing is changed then.
    """
    count = sum(saved_replica_count(each) for each in snapshots)
    states = {optimizer: optimizer.imagined(count) for optimizer in ours(model)}
    there = _variables(model, states)
    check_layout(there, snapshots[0], source)
    processes = zip(*(each["values"] for each in snapshots), strict=True)
    values = {
        id(variable): [value for process in each for value in process]
        for variable, each in zip(there, processes, strict=True)
    }
    metrics_of_the_run = [v for v in held_variables(model) if v.aggregation == "sum"]
    added = {id(v) for v in (*keras_accumulators(model), *metrics_of_the_run)}
    state_of_ours = {id(v) for optimizer in states for v in optimizer.state.variables}
    for variable in variables_of(model):
        if id(variable) not in state_of_ours:
            new = together(values[id(variable)], id(variable) in added, variable, first)
            for copy, value in zip(backend.copies(variable), new, strict=True):
                copy.assign(value)
    for optimizer, old in states.items():
        _move(old, optimizer.state, lambda variable: values[id(variable)])
    put_the_rest(model, snapshots[0])


def metrics(model: keras.Model, values: Sequence[Any], first: bool) -> list[Any]:
    """The metrics of the current epoch, for each replica of this process.

    Args:
        model: The model.
        values: What `snapshot.metric_values` returned in each of the saving processes, in order.
        first: Whether this process has the first replica.
    """
    variables = [v for metric in model.metrics for v in metric.variables]
    pairs = zip(variables, zip(*values, strict=True), strict=True)
    return [
        together([x for process in each for x in process], v.aggregation == "sum", v, first)
        for v, each in pairs
    ]


def together(values: Sequence[Any], added: bool, variable: Any, first: bool) -> list[Any]:
    """New values for the replicas of this process, from those of all old replicas."""
    here = len(backend.copies(variable))
    if not added:
        return [common(values)] * here
    total = sum(values[1:], start=values[0])
    return [total if first and replica == 0 else np.zeros_like(total) for replica in range(here)]


def _variables(model: keras.Model, states: Mapping[Any, Any]) -> list[Any]:
    """As `variables_of`, with each optimizer's variables replaced by those of its old state."""
    begins: dict[int, Any] = {}
    for optimizer, state in states.items():
        for i, variable in enumerate(optimizer.state.variables):
            begins[id(variable)] = () if i else state.variables
    return [x for v in variables_of(model) for x in begins.get(id(v), [v])]


def _move(old: Any, new: Any, copies: Any) -> None:
    """Writes the values of one state, given by `copies`, into the variables of another."""
    names = [(i, name) for i, slots in enumerate(new.slots) for name in slots]
    before, now = ([state.slots[i][name] for i, name in names] for state in (old, new))
    if new.accumulators:
        before, now = [*before, *old.accumulators], [*now, *new.accumulators]
        _assign(new.count, copies(old.count))
        _assign(new.seen, copies(old.seen))
    write_all(zip(now, read_all(before, copies), strict=True))
    for name, variable in new.shared.items():
        _assign(variable, copies(old.shared[name]))


def _assign(variable: Any, values: Sequence[Any]) -> None:
    for copy in backend.copies(variable):
        copy.assign(common(values))
