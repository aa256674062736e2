r"""
Find a learning rate
====================

`LearningRateFinder` raises the rate from batch to batch, and suggests values by the curve of the
loss. Afterwards the model is what it was before.
"""

import keras
import numpy as np

import keras_gdx

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
x = rng.normal(size=(8192, 16)).astype("float32")
y = np.sin(x[:, :1]) + x[:, 1:2] * x[:, 2:3] + 0.1 * rng.normal(size=(8192, 1))

hidden = [keras.layers.Dense(64, "relu") for _ in range(2)]
model = keras.Sequential([keras.Input((16,)), *hidden, keras.layers.Dense(1)])
model.compile(keras_gdx.create("adamw", model=model), "mse")

finder = keras_gdx.callbacks.LearningRateFinder(1e-5, 1.0, steps=120)
model.fit(x, y, batch_size=256, epochs=4, verbose=0, callbacks=[finder])
print({name: f"{rate:.1g}" for name, rate in finder.suggestions.items()})

# %%
# The suggestions follow different rules of thumb, which `keras_gdx.callbacks.LearningRateFinder`
# explains. Where the curve is steep is a good rate; at its minimum, training is about to diverge.
# The points are single batches: look at the curve before you take one of the values.
figure = finder.plot()
