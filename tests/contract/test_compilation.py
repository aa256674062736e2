"""XLA, graph and eager execution give the same weights."""

import re
from functools import cache, partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gdx import modifiers
from tests.contract.harness import Run, assert_same, batches
from tests.contract.rules import DECOMPOSITIONS, first_rules, make, rules_with, suited


@first_rules
def test_xla_equals_graph_equals_eager(rule):
    data = list(batches(4))
    runs = [Run(lambda: make(rule), mode=mode).train(data) for mode in ("xla", "graph", "eager")]
    assert_same(runs[0], runs[1])
    assert_same(runs[2], runs[1])


OTHERS = {
    "averages and factors": {
        "use_ema": True,
        "ema_overwrite_frequency": 2,
        "lr_multipliers": {"bias": 0.5},
        "no_decay": ["gain"],
        "weight_decay": 0.1,
        "clipvalue": 0.1,
        "loss_scale_factor": 8.0,
    },
    "modifiers": {
        "before": [modifiers.Grokfast(0.5), modifiers.Centralize()],
        "after": [modifiers.Cautious(), modifiers.UpdateClip()],
        "clipnorm": 0.3,
        "fused": False,
    },
    "low precision": {"precision": "kahan", "state_dtype": "bfloat16", "weight_decay": 0.1},
}


@pytest.mark.parametrize("rule", ["adamw", "muon"])
@pytest.mark.parametrize("option", OTHERS)
def test_xla_equals_eager_with_every_option(rule, option):
    data, options = list(batches(4)), OTHERS[option]
    low = {"dtype": "bfloat16"} if "precision" in options else {}
    xla, eager = (
        Run(lambda: make(rule, **options), mode=mode, **low).train(data)
        for mode in ("xla", "eager")
    )
    assert_same(xla, eager, **({"rtol": 1e-2, "atol": 1e-3} if low else {}))


@rules_with(option=["eight bits", "averages"])
def test_a_whole_step_is_one_program_of_static_shapes(rule, option):
    """Requirements of XLA-only accelerators, as far as a CPU can check them."""
    options = {
        "eight bits": {"state_dtype": "int8", "clipnorm": 0.5},
        "averages": {"use_ema": True, "ema_overwrite_frequency": 2},
    }[option]
    optimizer = make(rule, **suited(rule, options))
    # one is large enough for 8 bits, the others are not
    weights = [keras.Variable(np.ones(shape, "float32")) for shape in ((96, 64), (64,), (2, 2, 3))]
    optimizer.build(weights)

    @tf.function(jit_compile=True)
    def step(gradients):
        optimizer.apply(gradients, weights)

    gradients = [tf.ones(v.shape) for v in weights]
    program = step.experimental_get_compiler_ir(gradients)(stage="hlo")
    assert not re.findall(r"\b(infeed|outfeed|send|recv|send-done|recv-done)\(", program)
    called = {*re.findall(r'custom_call_target="([^"]+)"', program)}
    assert called <= DECOMPOSITIONS  # no calls to the host
    assert "<=" not in program  # no dimension that is known only at run time
    step(gradients)
    assert optimizer.iterations.numpy() == 1


def fitted(rule, **options):
    """Weights after a `fit` with an uneven last batch: 56 examples in batches of 16."""
    x, y = next(batches(1, 56))
    keras.utils.set_random_seed(0)
    layers = [keras.Input((4,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)]
    net = keras.Sequential(layers)
    net.compile(make(rule), "mse", **options)
    net.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    assert net.optimizer.iterations.numpy() == 8
    return np.concatenate([w.ravel() for w in net.get_weights()])


eagerly_fitted = cache(partial(fitted, run_eagerly=True))


@rules_with(jit=[True, False], steps=[4, 1])
def test_trains_in_fit(rule, jit, steps):
    found = fitted(rule, jit_compile=jit, steps_per_execution=steps)
    np.testing.assert_allclose(found, eagerly_fitted(rule), atol=5e-6)
