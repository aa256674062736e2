"""Dozat 2016, "Incorporating Nesterov momentum into Adam", algorithm 2, with a constant `mu`.

The products of `mu` in the paper's bias correction are then powers. AMSGrad is as in `adam.py`.
"""

import numpy as np

HYPER = (
    {"learning_rate": 0.0625, "beta_1": 0.8, "beta_2": 0.97, "epsilon": 1e-4, "weight_decay": 0.2},
    {"learning_rate": 0.0625, "beta_1": 0.7, "beta_2": 0.8, "epsilon": 1e-3, "amsgrad": True},
)


def trajectory(
    weights,
    gradients,
    *,
    learning_rate,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-8,
    amsgrad=False,
    weight_decay=0.0,
):
    w, m, n, largest = list(weights), *([np.zeros_like(x) for x in weights] for _ in range(3))
    for t, step in enumerate(gradients, 1):
        for i, g in enumerate(step):
            m[i] = beta_1 * m[i] + (1 - beta_1) * g
            n[i] = beta_2 * n[i] + (1 - beta_2) * g**2
            m_hat = beta_1 * m[i] / (1 - beta_1 ** (t + 1)) + (1 - beta_1) * g / (1 - beta_1**t)
            n_hat = n[i] / (1 - beta_2**t)
            largest[i] = np.maximum(largest[i], n_hat)
            u = m_hat / (np.sqrt(largest[i] if amsgrad else n_hat) + epsilon)
            w[i] = w[i] - learning_rate * (u + weight_decay * w[i])
        yield list(w)
