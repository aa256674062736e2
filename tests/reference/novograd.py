"""Ginsburg et al. 2019 (arXiv:1905.11286), algorithm 1.

`grad_averaging` and `amsgrad` are those of TensorFlow Addons' NovoGrad.
"""

import numpy as np

HYPER = (
    {"learning_rate": 0.0625, "beta_1": 0.8, "beta_2": 0.5, "epsilon": 0.5, "weight_decay": 0.2},
    {
        "learning_rate": 0.0625,
        "beta_1": 0.7,
        "beta_2": 0.5,
        "epsilon": 0.5,
        "grad_averaging": True,
        "amsgrad": True,
        "weight_decay": 0.2,
    },
)


def trajectory(
    weights,
    gradients,
    *,
    learning_rate,
    beta_1=0.9,
    beta_2=0.25,
    epsilon=1e-6,
    grad_averaging=False,
    amsgrad=False,
    weight_decay=0.0,
):
    w, m = list(weights), [np.zeros_like(x) for x in weights]
    v = [np.sum(g**2) for g in gradients[0]]
    largest = [0.0 for _ in weights]
    for t, step in enumerate(gradients):
        for i, g in enumerate(step):
            v[i] = beta_2 * v[i] + (1 - beta_2) * np.sum(g**2)
            largest[i] = max(largest[i], v[i])
            second = largest[i] if amsgrad else v[i]
            share = 1 - beta_1 if grad_averaging and t > 0 else 1
            m[i] = beta_1 * m[i] + share * (g / (np.sqrt(second) + epsilon) + weight_decay * w[i])
            w[i] = w[i] - learning_rate * m[i]
        yield list(w)
