r"""
Compare optimizers
==================

Three optimizers on one small problem. Each gets the same number of trials to find its learning
rate; then the best settings train from fresh seeds. Real comparisons have larger budgets: see
:doc:`/compare`.
"""

import keras
import numpy as np

import keras_gdx
from keras_gdx import LogUniform

rng = np.random.default_rng(0)
x = rng.normal(size=(600, 8)).astype("float32")
y = x[:, :1] * x[:, 1:2] + x[:, 2:3]


def build():
    """A network with one hidden layer."""
    layers = [keras.layers.Dense(32, "relu"), keras.layers.Dense(1)]
    return keras.Sequential([keras.Input((8,)), *layers])


comparison = keras_gdx.compare(
    build,
    (x, y),
    {
        "adamw": {"optimizer": "adamw", "learning_rate": LogUniform(1e-3, 1e-1)},
        "muon": {"optimizer": "muon", "learning_rate": LogUniform(1e-3, 1e-1)},
        "sgd": {"optimizer": "sgd", "momentum": 0.9, "learning_rate": LogUniform(1e-3, 1e-1)},
    },
    loss="mse",
    budget=keras_gdx.Budget(steps=150),
    evaluations=10,
    trials=4,
    seeds=5,
    max_seeds=5,
    workers=0,
    verbose=0,
)
print(comparison)

# %%
# The loss on examples held out during the reported runs: median and range over the seeds.
figure = comparison.plot("curves")

# %%
# What each strategy reached at each rate that was tried. If the best value is at the edge, the
# space is too small.
figure = comparison.plot("rate")

# %%
# The lead over each other strategy, seed by seed, with its 95 % interval.
figure = comparison.plot("differences")
