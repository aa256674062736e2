"""Defazio & Jelassi 2021 (arXiv:2101.11075), algorithm 1; the decay is decoupled.

The authors' code, unlike the paper, adds epsilon to the learning rate too. The paper counts from 0.
"""

import numpy as np

HYPER = (
    {"learning_rate": 0.0625, "momentum": 0.7, "epsilon": 1e-3, "weight_decay": 0.2},
    {"learning_rate": 0.125, "momentum": 0.0, "epsilon": 1e-4},
)


def trajectory(weights, gradients, *, learning_rate, momentum=0.9, epsilon=1e-6, weight_decay=0.0):
    x, s, v = list(weights), *([np.zeros_like(x) for x in weights] for _ in range(2))
    for k, step in enumerate(gradients):
        step_weight = (learning_rate + epsilon) * np.sqrt(k + 1)
        for i, g in enumerate(step):
            s[i] = s[i] + step_weight * g
            v[i] = v[i] + step_weight * g**2
            z = weights[i] - s[i] / (np.cbrt(v[i]) + epsilon)
            decay = learning_rate * weight_decay * x[i]
            x[i] = momentum * x[i] + (1 - momentum) * z - decay
        yield list(x)
