"""Updates of one loop, where the user has set the option of XLA that fuses outputs."""

import hashlib
import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_gdx
from keras_gdx import optimizers
from keras_gdx.backends.tensorflow import programs
from keras_gdx.backends.tensorflow.one_loop import OPTION, fuses_outputs
from tests.programs import Program

CASES = {
    "decay and averages": ("adamw", {"weight_decay": 0.1, "use_ema": True}),
    "three slots": ("adan", {}),
    "schedule-free": ("schedulefreeadamw", {"weight_decay": 0.1}),
    "a modifier": ("lion", {"after": [keras_gdx.modifiers.Cautious()]}),
    "16 bits": ("adamw", {"state_dtype": "bfloat16"}),
    "codes": ("adamw", {"state_dtype": "int8"}),
    "mixed entries": ("lamb", {}),
    "accumulation": ("adamw", {"gradient_accumulation_steps": 2}),
}
SHAPE = (300, 256)  # large enough for a program of its own, and no multiple of a vector's length


def digest(name, options):
    """A digest of all bits of weights and state after some updates."""
    random = np.random.default_rng(0)
    start, *gradients = random.normal(size=(5, *SHAPE)).astype("float32")
    variable = keras.Variable(start)
    optimizer = keras_gdx.create(name, learning_rate=0.01, **options)
    optimizer.build([variable])

    @tf.function(jit_compile=False, autograph=False)
    def step(gradient):
        optimizer.apply([gradient])

    for gradient in gradients:
        step(tf.constant(gradient))
    bits = b"".join(np.asarray(v).tobytes() for v in [variable, *optimizer.variables])
    return hashlib.sha256(bits).hexdigest()


def embeddings(jit_compile):
    """Trains two tables with the same rows, each with two slots: scatters that share indices."""
    keras.utils.set_random_seed(0)
    tokens = keras.Input((4,), dtype="int32")
    tables = [keras.layers.Embedding(50, 8)(tokens) for _ in range(2)]
    model = keras.Model(tokens, keras.layers.Dense(1)(keras.layers.Add()(tables)))
    optimizer = keras_gdx.create("adamw", learning_rate=0.01, sparse="lazy")
    model.compile(optimizer, "mse", jit_compile=jit_compile)
    x = np.arange(64).reshape(16, 4) % 40
    model.fit(x, np.ones((16, 4, 1)), verbose=0)
    return [w.tolist() for w in model.get_weights()]


def in_another_process():
    print(json.dumps([fuses_outputs(), *(digest(*each) for each in CASES.values())]))
    print(json.dumps(embeddings(jit_compile=True)))


@pytest.fixture(scope="module")
def found():
    code = "from tests.test_one_loop import in_another_process as run; run()"
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_extra_options={OPTION}"
    done = Program("-c", code, XLA_FLAGS=flags)
    assert done.wait(600) == 0, done.errors()[-2000:]
    (fuses, *bits), tables = map(json.loads, done.output().splitlines()[-2:])
    return fuses, dict(zip(CASES, bits, strict=True)), tables


def test_the_option_is_seen(found):
    assert found[0], "XLA no longer fuses outputs, or its text has changed"
    assert not fuses_outputs()


@pytest.mark.parametrize("case", CASES)
def test_the_bits_are_the_same(found, case):
    assert found[1][case] == digest(*CASES[case])


def test_only_updates_that_keep_entries_apart_are_split(monkeypatch):
    """By the rule of each variable: in one optimizer, a matrix rule is not computed twice."""
    split = []

    def separate(update, args, old):
        split.append(len(old))
        return update(*args, old)

    monkeypatch.setattr(programs, "fuses_outputs", lambda: True)
    monkeypatch.setattr(programs, "separate", separate)
    names = ("matrix", "large")
    variables = [keras.Variable(np.ones(SHAPE, "float32"), name=name) for name in names]
    optimizer = keras_gdx.create("adamw", rules={"matrix": optimizers.Muon(0.01)})
    optimizer.build(variables)

    @tf.function(jit_compile=False, autograph=False)
    def step():
        optimizer.apply([tf.ones(SHAPE)] * 2)

    step()
    assert split == [3]  # AdamW's weights and two slots


def test_rows_of_several_tables_in_a_compiled_step(found):
    for a, b in zip(found[2], embeddings(jit_compile=False), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
