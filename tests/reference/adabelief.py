"""Zhuang et al. 2020 (arXiv:2010.07468), algorithm 2; the decay is decoupled."""

import numpy as np

HYPER = (
    {"learning_rate": 0.0625, "beta_1": 0.8, "beta_2": 0.97, "epsilon": 1e-3, "weight_decay": 0.2},
)


def trajectory(
    weights,
    gradients,
    *,
    learning_rate,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-16,
    weight_decay=0.0,
):
    w, m, s = list(weights), *([np.zeros_like(x) for x in weights] for _ in range(2))
    for t, step in enumerate(gradients, 1):
        for i, g in enumerate(step):
            m[i] = beta_1 * m[i] + (1 - beta_1) * g
            s[i] = beta_2 * s[i] + (1 - beta_2) * (g - m[i]) ** 2 + epsilon
            m_hat, s_hat = m[i] / (1 - beta_1**t), s[i] / (1 - beta_2**t)
            u = m_hat / (np.sqrt(s_hat) + epsilon)
            w[i] = w[i] - learning_rate * (u + weight_decay * w[i])
        yield list(w)
