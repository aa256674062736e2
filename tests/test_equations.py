"""Every rule takes the steps that its paper defines (`reference/`).

The references run in float64. Their learning rates are exact in float32, in which Keras stores
them, so that float64 variables can be compared far beyond the precision of float32. In float32 the
rules are compared with recordings (`test_golden`), and here those that have none; with
`KERAS_GDX_MATRIX=full` all.
"""

import keras
import numpy as np
import pytest

from keras_gdx import optimizers
from keras_gdx.registry import REGISTRY
from tests.golden.problem import problem
from tests.golden.replay import build, make_variables, replay
from tests.matrix import WHOLE_MATRIX
from tests.reference import load_reference
from tests.test_golden import FILES

OPTIMIZERS = sorted(name for name, entry in REGISTRY.items() if entry.kind == "optimizer")
RECORDED = {file.stem.partition("-")[0] for file in FILES}
TOLERANCE = {"float32": {"rtol": 1e-4, "atol": 1e-5}, "float64": {"rtol": 1e-9, "atol": 1e-9}}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rule_takes_the_steps_of_its_paper(name):
    reference = load_reference(name, "trajectory(weights, gradients, **hyper)")
    *others, most_precise = getattr(reference, "DTYPES", TOLERANCE)
    # the others with the first arguments only: dtypes do not depend on arguments
    compared = [(most_precise, hyper) for hyper in reference.HYPER]
    if WHOLE_MATRIX or name not in RECORDED:
        compared += [(dtype, reference.HYPER[0]) for dtype in others]
    weights, gradients = problem(steps=50, seed=1)
    gradients = list(zip(*gradients.values(), strict=True))
    start = [w.astype("float64") for w in weights.values()]
    steps = [[g.astype("float64") for g in step] for step in gradients]
    for dtype, hyper in compared:
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
            ours, theirs, **TOLERANCE[dtype], err_msg=f"{name}, {dtype}, {when}", verbose=False
        )


def test_the_momentum_of_lars_has_the_rates_at_which_it_grew():
    """The learning rate is inside the momentum; at rate 0 the weights rest."""
    w = keras.Variable([3.0, 4.0])
    optimizer = optimizers.LARS(0.5, momentum=0.5, trust_coefficient=0.1)
    expected, m = np.array([3.0, 4.0]), 0.0
    for rate in (0.5, 0.125, 0.0, 0.25):
        optimizer.build([w])
        optimizer.learning_rate = rate
        g = np.array([1.0, -2.0])
        m = 0.5 * m + rate * 0.1 * np.linalg.norm(expected) / np.linalg.norm(g) * g
        expected = expected - (m if rate else 0.0)
        optimizer.apply([g.astype("float32")], [w])
        np.testing.assert_allclose(w.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("g", "s"),
    [
        (np.zeros((3, 4)), np.zeros((3, 4))),
        (1e-25 * np.outer([1, 2, 2], [4, 3]), np.outer([1, 2, 2], [4, 3]) / 15),
        (np.eye(4), np.eye(4) / 4),  # any mean of the first ones is as good
        (np.diag([2.0, 2.0, 1.0]), np.diag([0.5, 0.5, 0.0])),
        (np.full((2, 2, 3), 1e12), np.full((2, 2, 3), 12**-0.5)),
        (np.array(-1e-25), np.array(-1.0)),
    ],
    ids=["zero", "tiny", "equal", "two equal", "huge", "scalar"],
)
def test_a_conditional_gradient_stays_in_the_nuclear_ball(g, s):
    w = keras.Variable(np.zeros(g.shape))
    optimizer = optimizers.ConditionalGradient(0.0, lambda_=2.0, ord="nuclear")
    optimizer.apply([g.astype("float32")], [w])
    np.testing.assert_allclose(w.numpy(), -2 * s, rtol=1e-5, atol=1e-7)


def test_variables_at_rest_do_not_count_in_the_estimate_of_prodigy():
    (weights, frozen), gradients = np.ones((2, 3), "float32"), np.eye(3, dtype="float32")
    trained = []
    for variables, multipliers in (
        ([keras.Variable(weights, name="trained")], None),
        (
            [keras.Variable(w, name=n) for w, n in ((weights, "trained"), (frozen, "frozen"))],
            {"frozen": 0},
        ),
    ):
        optimizer = optimizers.Prodigy(d0=0.01, lr_multipliers=multipliers)
        for g in (*gradients, *gradients):
            optimizer.apply([g, 100 * g][: len(variables)], variables)
        trained.append(variables[0].numpy())
    assert np.abs(trained[0] - weights).max() > 0.1
    np.testing.assert_array_equal(*trained)
