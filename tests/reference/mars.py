"""Yuan et al. 2024 (arXiv:2411.10438), algorithm 2 (MARS-AdamW) in its approximate form.

The gradient before the first one is zero, as in the authors' code; in the paper the first step has
no correction. The norm is that of one variable.
"""

import numpy as np

HYPER = (
    {
        "learning_rate": 0.0625,
        "beta_1": 0.8,
        "beta_2": 0.97,
        "gamma": 0.3,
        "epsilon": 1e-4,
        "weight_decay": 0.2,
    },
    {"learning_rate": 0.03125, "beta_1": 0.9, "beta_2": 0.8, "gamma": 0.05, "epsilon": 1e-3},
)


def trajectory(
    weights,
    gradients,
    *,
    learning_rate,
    beta_1=0.95,
    beta_2=0.99,
    gamma=0.025,
    epsilon=1e-8,
    weight_decay=0.0,
):
    w, m, v, last = list(weights), *([np.zeros_like(x) for x in weights] for _ in range(3))
    for t, step in enumerate(gradients, 1):
        for i, g in enumerate(step):
            c = g + gamma * beta_1 / (1 - beta_1) * (g - last[i])
            length = np.sqrt(np.sum(c**2))
            if length > 1:
                c = c / length
            m[i] = beta_1 * m[i] + (1 - beta_1) * c
            v[i] = beta_2 * v[i] + (1 - beta_2) * c**2
            u = m[i] / (1 - beta_1**t) / (np.sqrt(v[i] / (1 - beta_2**t)) + epsilon)
            w[i] = w[i] - learning_rate * (u + weight_decay * w[i])
        last = list(step)
        yield list(w)
