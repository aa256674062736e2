"""A training run with every kind of state that can be lost; also a program to be killed.

`python -m tests.resume.training FOLDER RESULT` trains and writes the result; optional further
arguments make it one worker of `TF_CONFIG`, with REPLICAS replicas and this OPTIMIZER.
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from keras_gdx import distribute, optimizers, schedules
from keras_gdx.callbacks import (
    HyperparameterLogger,
    PlateauController,
    ResumableCheckpoint,
    StepEvaluator,
)
from tests.data import in_batches

EPOCHS, BATCH = 4, 8
X = np.random.default_rng(0).normal(size=(50, 6)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 7

    def __getitem__(self, index):
        here = slice(index * BATCH, (index + 1) * BATCH)
        return X[here], Y[here]


def pipeline():
    return tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(50, seed=4)


def generated():
    spec = (tf.TensorSpec((6,)), tf.TensorSpec((1,)))
    return tf.data.Dataset.from_generator(lambda: zip(X, Y, strict=True), output_signature=spec)


DATA = {
    "arrays": lambda: {"x": X, "y": Y, "batch_size": BATCH},
    "arrays in batches": lambda: {"x": X, "y": Y, "batch_size": BATCH, "shuffle": "batch"},
    "part of arrays": lambda: {"x": X, "y": Y, "batch_size": BATCH, "steps_per_epoch": 5},
    "PyDataset": lambda: {"x": Batches()},
    "tf.data": lambda: {"x": pipeline().batch(BATCH)},
    "tf.data of unknown length": lambda: {"x": pipeline().filter(lambda *_: True).batch(BATCH)},
    "endless tf.data": lambda: {"x": pipeline().batch(BATCH).repeat(), "steps_per_epoch": 5},
    "generator": lambda: {"x": generated().shuffle(20, seed=3).batch(BATCH)},
}
OPTIMIZERS = {
    "AdamW, accumulating": lambda: optimizers.AdamW(
        schedules.Cosine(0.01, 8), gradient_accumulation_steps=4
    ),
    "schedule-free": lambda: optimizers.ScheduleFreeAdamW(0.01),
    "schedule-free around": lambda: optimizers.ScheduleFree(optimizers.Adam(0.01, beta_1=0.0)),
    "averages, eight bits": lambda: optimizers.Adam(0.01, use_ema=True, state_dtype="int8"),
    "in pieces": lambda: optimizers.AdamW(
        0.01, gradient_accumulation_steps=4, use_ema=True, shard_state=True
    ),
    "loss scaling": lambda: keras.optimizers.LossScaleOptimizer(optimizers.SGD(0.1, momentum=0.9)),
    "of Keras": lambda: keras.optimizers.Adam(0.01),
}


def model_with(optimizer, **compiled):
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"], **compiled)
    return model


def callbacks_for(optimizer):
    evaluator = StepEvaluator(in_batches(32, X, Y), every=10)
    if optimizer == "of Keras":
        plateau = keras.callbacks.ReduceLROnPlateau(patience=1)
        return [plateau, keras.callbacks.EarlyStopping("loss", patience=9), evaluator]
    return [PlateauController("val_loss", patience=1), HyperparameterLogger(), evaluator]


def train(data, optimizer, more, every="2 steps", folder=None, strategy=None, **compiled):
    """Trains to the end, from the checkpoint in `folder`; returns everything that must be equal."""
    keras.utils.set_random_seed(1)
    with (strategy or tf.distribute.get_strategy()).scope():
        model = model_with(OPTIMIZERS[optimizer](), **compiled)
    distribute.prepare(model)
    callbacks = [*callbacks_for(optimizer), *more]
    if folder:
        callbacks.append(ResumableCheckpoint(folder, every=every))
    history = model.fit(
        **DATA[data](),
        epochs=EPOCHS,
        verbose=0,
        callbacks=callbacks,
        validation_data=in_batches(32, X, Y),
    )
    return {
        "weights": [np.array(w).tolist() for w in model.get_weights()],
        "state": [v.numpy().tolist() for v in model.optimizer.variables],
        "history": history.history,
        "epochs": history.epoch,
        "evaluations": callbacks[2].history,
    }


def main(folder, result, replicas=None, optimizer="AdamW, accumulating"):
    strategy = distribute.strategy(replicas=int(replicas)) if replicas else None
    options = {"folder": folder, "every": "1 step", "strategy": strategy}
    found = train("arrays", optimizer, [], **options)
    with open(result, "w", encoding="utf-8") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
