"""Damaged or forged optimizer state is refused with a reason, or loaded."""

import json
import warnings

import h5py
import keras
import numpy as np
import pytest

from keras_gdx import optimizers
from tests.forging import DTYPES, forged, forged_arrays

MAKE = {
    "AdamW": lambda: optimizers.AdamW(0.1, use_ema=True, gradient_accumulation_steps=2),
    "Lookahead": lambda: optimizers.Lookahead(optimizers.Adam(0.1)),
    "ScheduleFreeSGD": lambda: optimizers.ScheduleFreeSGD(0.1, state_dtype="bfloat16"),
}
SHAPES = ((3, 2), (2,), ())


def trained(name, steps):
    rng = np.random.default_rng(steps)
    weights = [
        keras.Variable(rng.normal(size=shape), "float32", name=f"w{i}")
        for i, shape in enumerate(SHAPES)
    ]
    optimizer = MAKE[name]()
    optimizer.build(weights)
    for _ in range(steps):
        optimizer.apply([keras.ops.array(rng.normal(size=s), "float32") for s in SHAPES], weights)
    return optimizer


def values(optimizer):
    return [v.numpy() for v in (*optimizer.variables, *optimizer.model_variables)]


def refusal(optimizer, store):
    """Why the state in a store is not loaded; `None` if it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            optimizer.load_own_variables(store)
        except ValueError as error:
            return str(error)


@pytest.mark.parametrize("name", MAKE)
def test_any_change_is_refused_or_loaded(name):
    rng = np.random.default_rng(0)
    store: dict = {}
    trained(name, 3).save_own_variables(store)
    manifest = json.loads(bytes(store["manifest"]))
    optimizer = trained(name, 1)
    start = [np.asarray(v) for v in values(optimizer)]
    refused = 0
    for _ in range(500):
        if rng.integers(2):
            text = json.dumps(forged(manifest, rng)).encode()
            bad = store | {"manifest": np.frombuffer(text, "uint8")}
        else:
            bad = forged_arrays(store, rng)
        reason = refusal(optimizer, bad)
        if reason is not None:
            refused += 1
            assert f"state of {type(optimizer).__name__}" in reason
            assert all(map(np.array_equal, values(optimizer), start))
        for variable, value in zip(optimizer.variables, start, strict=False):
            variable.assign(value)
        optimizer.weight_swap.trained = None
    assert 100 < refused < 490


@pytest.mark.parametrize("how", ["link", "group", "dtype", "scalar", "nested", "cut"])
def test_changes_of_the_file_itself(how, tmp_path):
    """Faults that a dictionary cannot have."""
    path = tmp_path / "net.weights.h5"
    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="a")])
    net.compile(optimizers.AdamW(0.1), "mse")
    net.optimizer.build(net.trainable_variables)
    net.save_weights(path)
    for variable in (*net.variables, *net.optimizer.variables):
        variable.assign(variable + 1)
    before = [v.numpy() for v in (*net.variables, *net.optimizer.variables)]
    with h5py.File(path, "r+") as file:
        state = file["optimizer/vars"]
        if how == "nested":
            content = b"[" * 100_000
            del state["manifest"]
            state["manifest"] = np.frombuffer(content, "uint8")
        elif how != "cut":
            del state["0|momentum"]
            if how == "link":
                state["0|momentum"] = h5py.ExternalLink("/etc/passwd", "/")
            elif how == "group":
                state.create_group("0|momentum")
            else:
                state["0|momentum"] = "text" if how == "scalar" else np.zeros((2, 1), DTYPES[-2])
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises((ValueError, OSError)) as error:
        net.load_weights(path)
    assert how == "cut" or "The state of AdamW in this file is damaged" in str(error.value)
    after = [v.numpy() for v in (*net.variables, *net.optimizer.variables)]
    assert all(map(np.array_equal, before, after))


def test_no_lambda_of_a_file_is_run():
    """Keras makes no functions from code by default; nor do our arguments."""
    config = optimizers.AdamW(0.1).get_config()
    code = {"class_name": "__lambda__", "config": {"value": "x"}}
    for name in ("learning_rate", "weight_decay", "before"):
        value = [code] if name == "before" else code
        with pytest.raises(ValueError, match="lambda"):
            optimizers.AdamW.from_config(config | {name: value})
