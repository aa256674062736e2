"""You et al. 2017 (arXiv:1708.03888), algorithm 1.

The paper has `norm(g) + weight_decay * norm(w)` in the denominator; here, as in optax, it
is the norm of the decayed gradient. The paper does not define the ratio for norms of zero: there
the local rate is 1.
"""

import numpy as np

SETTINGS = {"learning_rate": 1.0, "trust_coefficient": 0.02}
HYPER = (
    {"learning_rate": 0.5, "momentum": 0.8, "trust_coefficient": 0.03, "weight_decay": 0.4},
    {"learning_rate": 0.25, "momentum": 0.6, "trust_coefficient": 0.2, "nesterov": True},
)


def trajectory(
    weights,
    gradients,
    *,
    learning_rate,
    momentum=0.9,
    trust_coefficient=0.001,
    nesterov=False,
    weight_decay=0.0,
):
    w, v = list(weights), [np.zeros_like(x) for x in weights]
    for step in gradients:
        for i, g in enumerate(step):
            g = g + weight_decay * w[i]
            lengths = length(w[i]), length(g)
            local = trust_coefficient * lengths[0] / lengths[1] if all(lengths) else 1.0
            v[i] = momentum * v[i] + learning_rate * local * g
            moved = momentum * v[i] + learning_rate * local * g if nesterov else v[i]
            w[i] = w[i] - moved
        yield list(w)


def length(x):
    return np.sqrt(np.sum(x**2))
