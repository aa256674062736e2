"""Liu et al. 2019 (arXiv:1908.03265), algorithm 2.

The paper rectifies when `rho > 4` and divides by `sqrt(v)` without an epsilon. Here the condition
is `rho >= threshold`, 5 in the authors' code, and epsilon is added as in Adam.
"""

import numpy as np

HYPER = (
    {
        "learning_rate": 0.0625,
        "beta_1": 0.8,
        "beta_2": 0.97,
        "epsilon": 1e-3,
        "threshold": 9.0,
        "weight_decay": 0.2,
    },
)


def trajectory(
    weights,
    gradients,
    *,
    learning_rate,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-8,
    threshold=5.0,
    weight_decay=0.0,
):
    w, m, v = list(weights), *([np.zeros_like(x) for x in weights] for _ in range(2))
    rho_inf = 2 / (1 - beta_2) - 1
    for t, step in enumerate(gradients, 1):
        rho = rho_inf - 2 * t * beta_2**t / (1 - beta_2**t)
        for i, g in enumerate(step):
            v[i] = beta_2 * v[i] + (1 - beta_2) * g**2
            m[i] = beta_1 * m[i] + (1 - beta_1) * g
            u = m[i] / (1 - beta_1**t)
            if rho >= threshold:
                r = np.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
                u = r * u / (np.sqrt(v[i] / (1 - beta_2**t)) + epsilon)
            w[i] = w[i] - learning_rate * (u + weight_decay * w[i])
        yield list(w)
