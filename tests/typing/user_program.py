"""A program such as users write: type checkers must find nothing in it."""

from typing import Any, assert_type

import keras
import numpy as np

import keras_gdx
from keras_gdx import callbacks, constraints, modifiers, optimizers, regularizers, schedules

rate = schedules.Warmup(
    schedules.Cosine(1e-3, decay_steps=90, alpha=0.1), warmup_steps=10, initial=1e-5
)
optimizer = optimizers.AdamW(
    0.5 * rate,
    beta_1=schedules.OneCycleMomentum(100),
    epsilon=1e-7,
    weight_decay=keras.optimizers.schedules.ExponentialDecay(0.1, 100, 0.5),
    no_decay="auto",
    before=[modifiers.AdaptiveClip(0.02)],
    state_dtype="bfloat16",
    clipnorm=1.0,
    gradient_accumulation_steps=2,
)
averaged = optimizers.Lookahead(optimizers.Lion(1e-4, use_ema=True), sync_period=5)
chosen = keras_gdx.create("muon", learning_rate=0.02, momentum=0.9)

assert_type(rate, schedules.Warmup)
assert_type(rate * 2 + 1e-4, schedules.Sum)
assert_type(schedules.create("linear", 0.1, total_steps=100), schedules.Schedule)
assert_type(optimizer, optimizers.AdamW)
assert_type(optimizer.amsgrad, bool)
assert_type(chosen, optimizers.Optimizer)
assert_type(keras_gdx.list("adam*", kind="optimizer")[0], str)
assert_type(keras_gdx.info("adam").summary, str)

model = keras.Sequential(
    [
        keras.Input((4,)),
        keras.layers.Dense(8, kernel_regularizer=regularizers.L2(1e-4)),
        keras.layers.Dense(1, kernel_constraint=constraints.SoftThreshold(1e-5)),
    ]
)
model.compile(optimizer, "mse")
x, y = np.ones((8, 4)), np.ones((8, 1))
logger = callbacks.HyperparameterLogger()
guard = callbacks.FaultGuard(every="10 minutes", directory=None, verbose=True)
prune = callbacks.MagnitudePruning(0.5, begin="1 epoch", end=100, every="5 steps")
model.fit(x, y, batch_size=4, epochs=1, callbacks=[logger, guard, prune])
assert_type(guard.faults, list[dict[str, Any]])

assert_type(regularizers.apply(model, regularizers.GroupLasso(0.1, axis=-2)), list[str])
assert_type(keras_gdx.layer_decay(model, 0.75), dict[str, float])
assert_type(keras_gdx.memory(model, "adamw", batch_size=32).total, int)
with optimizer.evaluation_weights():
    model.evaluate(x, y)
