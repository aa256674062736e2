"""Ginsburg et al. 2019 (arXiv:1905.11286), algorithm 1."""

import numpy as np

HYPER = (
    {"learning_rate": 0.0625, "beta_1": 0.8, "beta_2": 0.5, "epsilon": 0.5, "weight_decay": 0.2},
)


def trajectory(
    weights,
    gradients,
    *,
    learning_rate,
    beta_1=0.9,
    beta_2=0.25,
    epsilon=1e-6,
    weight_decay=0.0,
):
    w, m = list(weights), [np.zeros_like(x) for x in weights]
    v = [np.sum(g**2) for g in gradients[0]]
    for step in gradients:
        for i, g in enumerate(step):
            v[i] = beta_2 * v[i] + (1 - beta_2) * np.sum(g**2)
            m[i] = beta_1 * m[i] + (g / (np.sqrt(v[i]) + epsilon) + weight_decay * w[i])
            w[i] = w[i] - learning_rate * m[i]
        yield list(w)
