"""Compiled updates overwrite weights and state in place, without copies of them."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_gdx
from keras_gdx import optimizers
from keras_gdx.backends.tensorflow import programs

SHAPE = (256, 260)  # large enough for a program of its own
OLDER = tuple(map(int, tf.__version__.split(".")[:2])) < (2, 21)
CASES = {  # rule, options, and how many copies XLA still makes
    "weights from new slots": ("adamw", {}, 0),
    "an old slot": ("lion", {}, 0),
    "an old slot, and others from it": ("adopt", {}, 0),
    "16 bits": ("adamw", {"state_dtype": "bfloat16"}, 0),
    "16 bits and averages": ("adamw", {"state_dtype": "bfloat16", "use_ema": True}, 0),
    "8 bits": ("adamw", {"state_dtype": "int8"}, 0),
    "a window": ("adamw", {"gradient_accumulation_steps": 2}, 0),
    "a check": ("adamw", {"gradient_accumulation_steps": 2, "skip_nonfinite": True}, 0),
    "a slot that is the gradient": ("adan", {}, 0),
    "each from the other": ("schedulefreeadamw", {"weight_decay": 0.1}, 1),
    "rounding errors": ("sgd", {"precision": "kahan"}, 2 if OLDER else 1),
}


def made(case):
    name, options, _ = CASES[case]
    dtype = "bfloat16" if "precision" in options else "float32"
    variable = keras.Variable(np.random.default_rng(0).normal(size=SHAPE), dtype=dtype)
    optimizer = keras_gdx.create(name, learning_rate=0.01, **options)
    optimizer.build([variable])
    return variable, optimizer


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_copied_that_need_not_be(case):
    variable, optimizer = made(case)

    @tf.function(jit_compile=True, autograph=False)
    def step(gradient):
        optimizer.apply([gradient], [variable])

    gradient = tf.ones(SHAPE, variable.dtype)
    text = step.experimental_get_compiler_ir(gradient)(stage="optimized_hlo")
    shape = ",".join(map(str, SHAPE))
    copies = re.findall(rf"\[{shape}\]\S* copy\(", text)
    assert len(copies) <= CASES[case][2]


def bits(case):
    """All bits of weights and state after some updates."""
    variable, optimizer = made(case)

    @tf.function(autograph=False)
    def step(gradient):
        optimizer.apply([gradient], [variable])

    rng = np.random.default_rng(1)
    for _ in range(4):
        step(tf.constant(rng.normal(size=SHAPE), variable.dtype))
    return [np.asarray(v).tobytes() for v in (variable, *optimizer.variables)]


@pytest.mark.parametrize("case", CASES)
def test_the_bits_are_those_of_any_order(case, monkeypatch):
    found = bits(case)
    monkeypatch.setattr(programs, "order_helps", lambda: False)
    assert found == bits(case)


def test_only_updates_that_keep_entries_apart_are_computed_in_parts(monkeypatch):
    """By the rule of each variable: in one optimizer, a matrix rule is not computed twice."""
    ordered = []

    def in_order(update, args, old):
        ordered.append(len(old))
        return update(*args, old)

    monkeypatch.setattr(programs, "in_order", in_order)
    names = ("matrix", "large")
    variables = [keras.Variable(np.ones(SHAPE, "float32"), name=name) for name in names]
    optimizer = keras_gdx.create("adamw", rules={"matrix": optimizers.Muon(0.01)})
    optimizer.build(variables)
    tf.function(lambda: optimizer.apply([tf.ones(SHAPE)] * 2), autograph=False)()
    assert ordered == [3]  # AdamW's weights and two slots
