"""Every rule takes the steps of an independent implementation (`golden/oracles`)."""

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from tests.golden.problem import problem
from tests.golden.replay import build, make_variables, replay

FILES = sorted((Path(__file__).parent / "golden" / "data").glob("*.npz"))


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def recording(request):
    """The recordings by name: weights, gradients per step, and the weights afterwards."""
    with np.load(request.param) as file:
        found = dict(file)
    meta = json.loads(str(found.pop("meta")))
    trained = {name: x for name, x in found.items() if not name.endswith(".average")}
    averages = [found[f"{name}.average"][-1] for name in trained if f"{name}.average" in found]
    steps = len(next(iter(trained.values()))) - 1
    weights, gradients = problem(trained, steps=steps)
    for name, w in weights.items():
        np.testing.assert_array_equal(w, trained[name][0], f"recorded from another {name}")
    trajectory = list(zip(*trained.values(), strict=True))[1:]
    gradients = list(zip(*gradients.values(), strict=True))
    return meta, weights, gradients, trajectory, averages


def assert_same(found, expected, names, when):
    __tracebackhide__ = True
    for name, ours, theirs in zip(names, found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-6, err_msg=f"{name}, {when}")


def test_rule_takes_the_recorded_steps(recording):
    meta, weights, gradients, trajectory, averages = recording
    optimizer = build(meta["rule"], meta["kwargs"])
    variables = make_variables(weights)
    found = replay(optimizer, variables, gradients)
    for step, both in enumerate(zip(found, trajectory, strict=True)):
        assert_same(*both, weights, f"step {step}, {meta['oracle']}")
    if averages:
        optimizer.finalize_variable_values(variables)
        assert_same([v.numpy() for v in variables], averages, weights, "average")


def test_recording_follows_the_paper(recording):
    meta, weights, gradients, trajectory, averages = recording
    reference = import_module(f"tests.reference.{meta['rule'].lower()}")
    start = [w.astype("float64") for w in weights.values()]
    steps = [[g.astype("float64") for g in step] for step in gradients]
    found = reference.trajectory(start, steps, **meta["kwargs"])
    for step, both in enumerate(zip(found, trajectory, strict=True)):
        assert_same(*both, weights, f"step {step}, {meta['oracle']}")
    if averages:
        assert_same(reference.final(start, steps, **meta["kwargs"]), averages, weights, "average")
