"""Every rule takes the steps that its paper defines (`reference/`).

The references run in float64. Their learning rates are exact in float32, in which Keras stores
them, so that float64 variables can be compared far beyond the precision of float32.
"""

import numpy as np
import pytest

from keras_gdx import optimizers  # noqa: F401 - fills the registry
from keras_gdx.registry import REGISTRY
from tests.golden.problem import problem
from tests.golden.replay import build, make_variables, replay
from tests.reference import load_reference

OPTIMIZERS = sorted(name for name, entry in REGISTRY.items() if entry.kind == "optimizer")
TOLERANCE = {"float32": {"rtol": 1e-4, "atol": 1e-5}, "float64": {"rtol": 1e-9, "atol": 1e-9}}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rule_takes_the_steps_of_its_paper(name, dtype):
    reference = load_reference(name, "trajectory(weights, gradients, **hyper)")
    if dtype not in getattr(reference, "DTYPES", TOLERANCE):
        pytest.skip(f"{name} computes in {reference.DTYPES}")
    weights, gradients = problem(steps=50, seed=1)
    gradients = list(zip(*gradients.values(), strict=True))
    start = [w.astype("float64") for w in weights.values()]
    steps = [[g.astype("float64") for g in step] for step in gradients]
    for hyper in reference.HYPER:
        optimizer = build(name, hyper)
        variables = make_variables(weights, dtype)
        expected = reference.trajectory(start, steps, **hyper)
        for t, both in enumerate(
            zip(replay(optimizer, variables, gradients), expected, strict=True)
        ):
            assert_same(*both, weights, dtype, f"step {t} with {hyper}")
        if hasattr(reference, "final"):
            optimizer.finalize_variable_values(variables)
            found = [v.numpy() for v in variables]
            assert_same(found, reference.final(start, steps, **hyper), weights, dtype, "average")


def assert_same(found, expected, names, dtype, when):
    __tracebackhide__ = True
    for name, ours, theirs in zip(names, found, expected, strict=True):
        np.testing.assert_allclose(
            ours, theirs, **TOLERANCE[dtype], err_msg=f"{name}, {when}", verbose=False
        )
