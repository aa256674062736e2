"""Taniguchi et al. 2024 (arXiv:2411.02853), algorithm 2, whose clipping section 5 adds.

The first gradient only starts the second moment. The decay is decoupled, in all steps.
"""

import numpy as np

HYPER = (
    {"learning_rate": 0.0625, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-4, "weight_decay": 0.2},
    {"learning_rate": 0.0078125, "beta_1": 0.7, "beta_2": 0.9, "epsilon": 0.05, "clip": False},
)


def trajectory(
    weights,
    gradients,
    *,
    learning_rate,
    beta_1=0.9,
    beta_2=0.9999,
    epsilon=1e-6,
    clip=True,
    weight_decay=0.0,
):
    w, m = list(weights), [np.zeros_like(x) for x in weights]
    v = [g**2 for g in gradients[0]]
    for t, step in enumerate(gradients):
        for i, g in enumerate(step):
            if t:
                n = g / np.maximum(np.sqrt(v[i]), epsilon)
                n = np.clip(n, -(t**0.25), t**0.25) if clip else n
                m[i] = beta_1 * m[i] + (1 - beta_1) * n
                v[i] = beta_2 * v[i] + (1 - beta_2) * g**2
            w[i] = w[i] - learning_rate * (m[i] + weight_decay * w[i])
        yield list(w)
