"""You et al. 2019 (arXiv:1904.00962), algorithm 2, with `phi(z) = z`.

The paper does not define the ratio for norms of zero: here it is 1.
"""

import numpy as np

HYPER = (
    {"learning_rate": 0.03125, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3, "weight_decay": 0.4},
)


def trajectory(
    weights,
    gradients,
    *,
    learning_rate,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-6,
    weight_decay=0.0,
):
    w, m, v = list(weights), *([np.zeros_like(x) for x in weights] for _ in range(2))
    for t, step in enumerate(gradients, 1):
        for i, g in enumerate(step):
            m[i] = beta_1 * m[i] + (1 - beta_1) * g
            v[i] = beta_2 * v[i] + (1 - beta_2) * g**2
            r = (m[i] / (1 - beta_1**t)) / (np.sqrt(v[i] / (1 - beta_2**t)) + epsilon)
            r = r + weight_decay * w[i]
            lengths = length(w[i]), length(r)
            ratio = lengths[0] / lengths[1] if all(lengths) else 1.0
            w[i] = w[i] - learning_rate * ratio * r
        yield list(w)


def length(x):
    return np.sqrt(np.sum(x**2))
