"""Loshchilov & Hutter 2017 (arXiv:1711.05101), algorithm 2.

The paper's decay is `schedule * weight_decay * w`; its rate `alpha` scales Adam's direction only.
Here the decay is multiplied by the complete learning rate, as in every library.
"""

import numpy as np

HYPER = (
    {"learning_rate": 0.125, "beta_1": 0.85, "beta_2": 0.95, "epsilon": 1e-3, "weight_decay": 0.3},
)


def trajectory(
    weights,
    gradients,
    *,
    learning_rate,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-8,
    weight_decay=0.01,
):
    w, m, v = list(weights), *([np.zeros_like(x) for x in weights] for _ in range(2))
    for t, step in enumerate(gradients, 1):
        for i, g in enumerate(step):
            m[i] = beta_1 * m[i] + (1 - beta_1) * g
            v[i] = beta_2 * v[i] + (1 - beta_2) * g**2
            m_hat = m[i] / (1 - beta_1**t)
            v_hat = v[i] / (1 - beta_2**t)
            step_taken = m_hat / (np.sqrt(v_hat) + epsilon) + weight_decay * w[i]
            w[i] = w[i] - learning_rate * step_taken
        yield list(w)
