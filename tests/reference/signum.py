"""Bernstein et al. 2018 (arXiv:1802.04434), algorithms 1 (signSGD) and 2 (Signum)."""

import numpy as np

HYPER = (
    {"learning_rate": 0.0625, "momentum": 0.7, "weight_decay": 0.2},
    {"learning_rate": 0.03125, "momentum": 0.0},
)


def trajectory(weights, gradients, *, learning_rate, momentum=0.9, weight_decay=0.0):
    w, m = list(weights), [np.zeros_like(x) for x in weights]
    for step in gradients:
        for i, g in enumerate(step):
            m[i] = momentum * m[i] + (1 - momentum) * g
            w[i] = w[i] - learning_rate * (np.sign(m[i]) + weight_decay * w[i])
        yield list(w)
