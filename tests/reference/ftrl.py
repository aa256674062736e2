"""McMahan et al. 2013, "Ad click prediction", algorithm 1, with Keras' names and a power.

The paper's alpha is the learning rate, its power 1/2. The factor 2 of `l2` and the first value of
the sum of squares are Keras'. Weight decay acts after the update, on the weights before it.
"""

import numpy as np

HYPER = (
    {
        "learning_rate": 0.125,
        "learning_rate_power": -0.75,
        "initial_accumulator_value": 0.5,
        "l1": 0.25,
        "l2": 0.125,
        "beta": 0.5,
        "weight_decay": 0.2,
    },
    {"learning_rate": 0.25, "initial_accumulator_value": 0.0, "beta": 1.0, "l1": 0.5},
    {"learning_rate": 0.0625, "learning_rate_power": 0.0},
)
SETTINGS = {"learning_rate": 0.1}


def trajectory(
    weights,
    gradients,
    *,
    learning_rate,
    learning_rate_power=-0.5,
    initial_accumulator_value=0.1,
    l1=0.0,
    l2=0.0,
    beta=0.0,
    weight_decay=0.0,
):
    w, z = list(weights), [np.zeros_like(x) for x in weights]
    n = [np.full_like(x, initial_accumulator_value) for x in weights]
    for step in gradients:
        for i, g in enumerate(step):
            before, after = (x**-learning_rate_power for x in (n[i], n[i] + g**2))
            sigma = (after - before) / learning_rate
            z[i] = z[i] + g - sigma * w[i]
            n[i] = n[i] + g**2
            solved = -(z[i] - np.sign(z[i]) * l1) / ((beta + after) / learning_rate + 2 * l2)
            decayed = learning_rate * weight_decay * w[i]
            w[i] = np.where(np.abs(z[i]) <= l1, 0, solved) - decayed
        yield list(w)
