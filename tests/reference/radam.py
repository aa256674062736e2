"""Liu et al. 2019 (arXiv:1908.03265), algorithm 2.

The paper rectifies when `rho > 4` and divides by `sqrt(v)` without an epsilon. Here the condition
is `rho >= threshold`, 5 in the authors' code, and epsilon is added as in Adam.

The other options are those of TensorFlow Addons' RectifiedAdam: `amsgrad` divides by the largest
second moment, corrected by the current step; `total_steps` makes the rate rise in a straight line
during the warmup and fall in another one afterwards.
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
    {
        "learning_rate": 0.0625,
        "beta_1": 0.7,
        "beta_2": 0.75,
        "epsilon": 1e-3,
        "threshold": 4.5,
        "amsgrad": True,
        "total_steps": 40,
        "warmup_proportion": 0.25,
        "min_learning_rate": 0.0078125,
        "weight_decay": 0.2,
    },
    {"learning_rate": 0.0625, "total_steps": 20, "warmup_proportion": 0.0},
    {"learning_rate": 0.0625, "total_steps": 20, "warmup_proportion": 1.0},
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
    amsgrad=False,
    total_steps=0,
    warmup_proportion=0.1,
    min_learning_rate=0.0,
    weight_decay=0.0,
):
    w, m, v, largest = list(weights), *([np.zeros_like(x) for x in weights] for _ in range(3))
    warmup = total_steps * warmup_proportion
    rho_inf = 2 / (1 - beta_2) - 1
    for t, step in enumerate(gradients, 1):
        rho = rho_inf - 2 * t * beta_2**t / (1 - beta_2**t)
        rate = learning_rate
        if total_steps:
            slope = (min_learning_rate - learning_rate) / max(total_steps - warmup, 1)
            if t <= warmup:
                rate = learning_rate * t / warmup
            else:
                rate = learning_rate + slope * min(t - warmup, max(total_steps - warmup, 1))
        for i, g in enumerate(step):
            v[i] = beta_2 * v[i] + (1 - beta_2) * g**2
            largest[i] = np.maximum(largest[i], v[i])
            m[i] = beta_1 * m[i] + (1 - beta_1) * g
            u = m[i] / (1 - beta_1**t)
            if rho >= threshold:
                r = np.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
                second = largest[i] if amsgrad else v[i]
                u = r * u / (np.sqrt(second / (1 - beta_2**t)) + epsilon)
            w[i] = w[i] - rate * (u + weight_decay * w[i])
        yield list(w)
