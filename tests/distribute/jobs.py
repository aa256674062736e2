"""Models and data for one device and for several; also a program that a worker runs.

`python -m tests.distribute.jobs JOB RESULT` trains as one worker of `TF_CONFIG`, or alone.
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from keras_gdx import distribute, optimizers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(61, 6)).astype("float32")
X[::3] *= 4  # shards of a batch differ; otherwise clipping on each replica would go unnoticed
Y = RNG.normal(size=(61, 2)).astype("float32")
WEIGHTS = RNG.uniform(size=61).astype("float32")
POISONED = np.where(np.arange(61)[:, None] == 20, np.inf, X).astype("float32")  # one replica's
TOKENS = RNG.integers(0, 4, size=(61, 5))  # 0 is masked
STEPS = RNG.normal(size=(61, 5, 2)).astype("float32")


def dense():
    decayed = layers.Dense(2, kernel_regularizer=keras.regularizers.L2(0.01))
    return keras.Sequential([keras.Input((6,)), layers.Dense(8, "tanh"), decayed])


def sequence():
    embed, read = layers.Embedding(4, 3, mask_zero=True), layers.SimpleRNN(2, return_sequences=True)
    return keras.Sequential([keras.Input((5,), dtype="int32"), embed, read])


@keras.saving.register_keras_serializable("tests")
class OwnLoss(keras.Model):
    def __init__(self):
        super().__init__()
        self.inner = layers.Dense(2)

    def call(self, x):
        return self.inner(x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean((y - y_pred) ** 2) + 0.1 * ops.mean(ops.abs(y_pred))


def scalar(y, prediction):
    return ops.sqrt(ops.mean((y - prediction) ** 2))


def mean_of_weights():
    return keras.losses.MeanSquaredError(reduction="mean_with_sample_weight")


def plain():
    return optimizers.SGD(0.1)


def ours():
    return optimizers.AdamW(0.01, global_clipnorm=0.1, gradient_accumulation_steps=2)


def of_keras():
    return keras.optimizers.Adam(0.01, global_clipnorm=0.1, weight_decay=0.1)


def accumulating():
    average = {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2}
    return keras.optimizers.SGD(0.1, gradient_accumulation_steps=2, **average)


def scaled():
    inner = keras.optimizers.SGD(0.1, clipnorm=0.2)
    return keras.optimizers.LossScaleOptimizer(inner, initial_scale=8.0)


# 61 examples in batches of 16 end with 13: 7 and 6 on two replicas, 4, 4, 4 and 1 on four
JOBS = {
    "several steps at once": (dense, ours, "mse", {"epochs": 2}, {"steps_per_execution": 3}),
    "clipped, of Keras": (dense, of_keras, "mse", {}, {}),
    "accumulating, of Keras": (dense, accumulating, "mse", {}, {}),
    "loss scaling, of Keras": (dense, scaled, "mse", {}, {}),
    "loss scaling, and one infinity": (dense, scaled, "mse", {"x": POISONED}, {}),
    "an odd batch first": (dense, plain, "mse", {"batch_size": 15}, {}),
    "a batch of one at the end": (dense, plain, "mse", {"batch_size": 12}, {}),
    "a scalar loss": (dense, plain, scalar, {}, {}),
    "a sum": (dense, plain, keras.losses.MeanAbsoluteError(reduction="sum"), {}, {}),
    "masks": (sequence, plain, "mse", {"x": TOKENS, "y": STEPS}, {}),
    "sample weights": (dense, plain, "mse", {"sample_weight": WEIGHTS}, {}),
    "mean of weights": (dense, plain, mean_of_weights(), {"sample_weight": WEIGHTS}, {}),
    "compute_loss": (OwnLoss, plain, None, {}, {}),
    "compiled": (dense, ours, "mse", {}, {"jit_compile": True}),
    "compiled, one batch size": (
        dense,
        of_keras,
        "mse",
        {"batch_size": 12, "steps_per_epoch": 5},
        {"jit_compile": True},
    ),
    "compiled, several steps at once": (
        dense,
        ours,
        "mse",
        {},
        {"jit_compile": True, "steps_per_execution": 3},
    ),
    "compiled but for masks": (
        sequence,
        plain,
        "mse",
        {"x": TOKENS, "y": STEPS},
        {"jit_compile": True},
    ),
    "eager": (dense, plain, "mse", {}, {"run_eagerly": True}),
}


def local():
    outer = optimizers.SGD(0.7, momentum=0.9, nesterov=True)
    return optimizers.LocalSteps(optimizers.AdamW(0.01), outer=outer, sync_period=3)


# equal on two workers and two replicas of one, but not on one device
OF_TWO = {
    "local steps": (dense, local, "mse", {}, {}),
    "eight bits": (dense, lambda: optimizers.Adam(0.01, state_dtype="int8"), "mse", {}, {}),
    "sixteen bits": (dense, lambda: optimizers.SGD(0.1, reduce_dtype="bfloat16"), "mse", {}, {}),
}


def run(job, strategy=None):
    """The result of a job: weights, logs and predictions."""
    build, optimizer, loss, data, options = {**JOBS, **OF_TWO}[job]
    keras.utils.set_random_seed(1)
    with (strategy or tf.distribute.get_strategy()).scope():
        model = build()
        model.compile(optimizer(), loss, **options)
    if strategy:
        distribute.prepare(model)
    data = {"x": X, "y": Y, "batch_size": 16, "epochs": 1} | data
    valid = (data["x"][:7], data["y"][:7])
    history = model.fit(**data, shuffle=False, verbose=0, validation_data=valid)
    return {
        "weights": np.concatenate([w.ravel() for w in model.get_weights()]).tolist(),
        "logs": history.history,
        "predictions": model.predict(data["x"][:7], verbose=0).tolist(),
    }


def assert_same(found, expected, atol=1e-6):
    for name in ("weights", "predictions"):
        np.testing.assert_allclose(found[name], expected[name], atol=atol, err_msg=name)
    assert found["logs"].keys() == expected["logs"].keys()
    for name, values in expected["logs"].items():
        np.testing.assert_allclose(found["logs"][name], values, rtol=2e-6, err_msg=name)


def main(names, result, replicas="1"):
    strategy = distribute.strategy("auto", replicas=int(replicas))
    found = {name: run(name, strategy) for name in names.split(";")}
    with open(result, "w", encoding="utf-8") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
