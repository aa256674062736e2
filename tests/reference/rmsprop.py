"""Tieleman & Hinton 2012, lecture 6e; centered: Graves 2013 (arXiv:1308.0850), equations 38 to 45.

Graves adds epsilon inside the root, and his momentum includes the learning rate; here it does not,
which is the same for a constant rate.
"""

import numpy as np

HYPER = (
    {"learning_rate": 0.0625, "rho": 0.8, "epsilon": 1e-4, "weight_decay": 0.2},
    {"learning_rate": 0.03125, "rho": 0.7, "momentum": 0.8, "epsilon": 1e-3},
    {"learning_rate": 0.03125, "rho": 0.95, "momentum": 0.5, "centered": True, "epsilon": 1e-3},
)


def trajectory(
    weights,
    gradients,
    *,
    learning_rate,
    rho=0.9,
    momentum=0.0,
    centered=False,
    epsilon=1e-8,
    weight_decay=0.0,
):
    w, n, mean, step_size = list(weights), *([np.zeros_like(x) for x in weights] for _ in range(3))
    for step in gradients:
        for i, g in enumerate(step):
            n[i] = rho * n[i] + (1 - rho) * g**2
            mean[i] = rho * mean[i] + (1 - rho) * g
            spread = n[i] - mean[i] ** 2 if centered else n[i]
            step_size[i] = momentum * step_size[i] + g / np.sqrt(spread + epsilon)
            w[i] = w[i] - learning_rate * (step_size[i] + weight_decay * w[i])
        yield list(w)
