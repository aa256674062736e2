"""Kingma & Ba 2014 (arXiv:1412.6980), algorithm 2; epsilon is added to the gradient's magnitude.

The paper has no epsilon, and divides by zero while an entry has had no gradient.
"""

import numpy as np

HYPER = (
    {"learning_rate": 0.0625, "beta_1": 0.8, "beta_2": 0.97, "epsilon": 1e-2, "weight_decay": 0.2},
    {"learning_rate": 0.03125, "beta_1": 0.5, "beta_2": 0.7, "epsilon": 1e-3},
)


def trajectory(
    weights,
    gradients,
    *,
    learning_rate,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-8,
    weight_decay=0.0,
):
    w, m, largest = list(weights), *([np.zeros_like(x) for x in weights] for _ in range(2))
    for t, step in enumerate(gradients, 1):
        for i, g in enumerate(step):
            m[i] = beta_1 * m[i] + (1 - beta_1) * g
            largest[i] = np.maximum(beta_2 * largest[i], np.abs(g) + epsilon)
            u = m[i] / ((1 - beta_1**t) * largest[i])
            w[i] = w[i] - learning_rate * (u + weight_decay * w[i])
        yield list(w)
