"""A mask is part of an update in whatever way that is executed, and plans nothing otherwise."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gdx import optimizers
from keras_gdx.engine.state import packing
from keras_gdx.engine.variables.masks import Masked
from tests.contract.rules import make

SHAPES = {"kernel": (64, 80), "other": (64, 80), "bias": (8,), "gain": ()}  # two have no mask
MASKED = ("kernel", "bias")
STEPS = 6
RNG = np.random.default_rng(0)
START = [RNG.normal(size=shape).astype("float32") for shape in SHAPES.values()]
GRADIENTS = [[RNG.normal(size=s).astype("float32") for s in SHAPES.values()] for _ in range(STEPS)]
MASKS = [  # the second brings some weights back
    {name: RNG.integers(0, 2, SHAPES[name]).astype("uint8") for name in MASKED} for _ in range(2)
]


class Product(keras.constraints.Constraint):
    """A mask by hand, which the engine does not know."""

    def __init__(self, variable):
        self.mask = keras.Variable(np.ones(variable.shape, "uint8"), trainable=False)

    def __call__(self, w):
        return w * keras.ops.cast(self.mask, w.dtype)

    renew = Masked.renew


class Training:
    """Six updates, with another mask from the fourth on.

    Args:
        make: Function that returns the optimizer.
        constraint: The constraint with the mask. `None`: the mask is applied between the steps.
        mode: `"graph"`, `"xla"` or `"eager"`.
        dtype: The dtype of the weights.
        strategy: A `tf.distribute.Strategy`, or `None`.
        lazy: Whether the gradient of the first variable has a third of its rows.
    """

    def __init__(self, make, constraint, mode="graph", dtype="float32", strategy=None, lazy=False):
        self.strategy = strategy or tf.distribute.get_strategy()
        self.lazy, self.traces = lazy, 0
        with self.strategy.scope():
            pairs = zip(START, SHAPES, strict=True)
            self.model = [keras.Variable(w, dtype=dtype, name=name) for w, name in pairs]
            masked = [v for v in self.model if v.name in MASKED]
            for variable in masked:
                variable.constraint = constraint and constraint(variable)
            self.optimizer = make()
            self.optimizer.build(self.model)
        run = self.run if mode == "eager" else tf.function(self.run, jit_compile=mode == "xla")
        for step, gradients in enumerate(GRADIENTS):
            masks = MASKS[step // 3]
            for variable in masked if constraint and step % 3 == 0 else ():
                variable.constraint.renew(variable, masks[variable.name])
            run([tf.constant(g) for g in gradients])
            for variable in masked if constraint is None else ():
                variable.assign(variable * masks[variable.name].astype(dtype))
        self.weights = [np.asarray(v.numpy(), "float64") for v in self.model]

    def run(self, gradients):
        self.traces += 1
        self.strategy.run(self.step, args=(gradients,))

    def step(self, gradients):
        count = self.strategy.num_replicas_in_sync
        own = [tf.cast(g, v.dtype) / count for g, v in zip(gradients, self.model, strict=True)]
        if self.lazy:
            rows = tf.range(0, 64, 3)
            own[0] = tf.IndexedSlices(tf.gather(own[0], rows), rows, SHAPES["kernel"])
        self.optimizer.apply(own, self.model)


WAYS = {
    "graph": {"fused": True},
    "usual": {},
    "xla": {"mode": "xla"},
    "eager": {"fused": True, "mode": "eager"},
    "plain": {"fused": False},
    "accumulation": {"fused": True, "gradient_accumulation_steps": 2},
    "8 bits": {"fused": True, "state_dtype": "int8"},
    "rows": {"fused": True, "sparse": "lazy", "lazy": True},
    "replicas": {"fused": True, "replicas": True},
    "shards": {"fused": True, "replicas": True, "shard_state": True},
    "stack": {"rule": "muon", "fused": True, "replicas": True, "shard_state": True},
}


@pytest.mark.parametrize("way", WAYS)
def test_is_a_product_after_every_update(way, request):
    how = dict(WAYS[way])
    if how.pop("replicas", False):
        how["strategy"] = request.getfixturevalue("mirrored")
    given = {name: how.pop(name) for name in ("mode", "strategy", "lazy") if name in how}
    rule = how.pop("rule", "adamw")
    found, expected = (Training(lambda: make(rule, **how), c, **given) for c in (Masked, None))
    for name, w, ours, theirs in zip(SHAPES, START, found.weights, expected.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)
        assert np.abs(ours - w).max() > 1e-3
        kept = MASKS[1].get(name, np.ones_like(w))
        assert (ours[kept == 0] == 0).all()
        assert np.abs(ours[kept == 1]).max() > 0.01
    assert found.traces == (1 if given.get("mode") != "eager" else STEPS)
    buckets, usual = found.optimizer.state.buckets, expected.optimizer.state.buckets
    assert [b.indices for b in buckets] == [b.indices for b in usual]
    assert [b.fused for b in buckets] == [b.fused for b in usual]


def test_leaves_no_compensation_behind():
    def of():
        return make("adamw", precision="kahan", fused=True)

    found, expected = (Training(of, c, dtype="bfloat16") for c in (Masked, Product))
    for ours, theirs in zip(found.weights, expected.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2**-8)


def network(count, shape):
    return [keras.Variable(np.ones(shape, "float32")) for _ in range(count)]


def programs_of(optimizer, variables):
    optimizer.build(variables)
    gradients = [tf.ones(v.shape) for v in variables]
    tf.function(lambda: optimizer.apply(gradients, variables), autograph=False)()
    return optimizer.state.programs


def test_does_not_keep_an_update_from_being_compiled():
    """One program for variables with and without a mask, traced once; one for each constraint."""
    variables = network(6, (packing.FUSED // 2, 2))
    for variable in variables[3:]:
        variable.constraint = keras.constraints.NonNeg()
    variables[5].constraint = keras.constraints.MaxNorm(0.5)
    for variable in variables[1:4]:
        variable.constraint = Masked(variable)
        variable.constraint.renew(variable, np.eye(*variable.shape, dtype="uint8"))
    assert len(programs_of(optimizers.SGD(0.5), variables)) == 3
    for variable in variables[1:4]:
        np.testing.assert_array_equal(variable.numpy(), 0.5 * np.eye(*variable.shape))
    np.testing.assert_array_equal(variables[4].numpy(), 0.5)
    np.testing.assert_allclose(np.linalg.norm(variables[5].numpy(), axis=0), 0.5, rtol=1e-5)


def test_constraints_that_a_user_has_written_are_not_compiled():
    class Mine(keras.constraints.NonNeg):
        pass

    variables = network(2, (4, 4))
    variables[0].constraint = variables[1].constraint = Mine()
    variables[1].constraint = Masked(variables[1])
    assert not programs_of(optimizers.SGD(2.0, fused=True), variables)
    assert all((v.numpy() == 0).all() for v in variables)


def test_a_constraint_may_change_in_eager_steps():
    (variable,) = network(1, (4, 4))
    variable.constraint = keras.constraints.MaxNorm(1.0)
    optimizer = optimizers.SGD(0.0, fused=True)
    for most in (1.0, 0.5):
        variable.constraint.max_value = most
        optimizer.apply([np.ones((4, 4), "float32")], [variable])
        np.testing.assert_allclose(np.linalg.norm(variable.numpy(), axis=0), most, rtol=1e-5)
