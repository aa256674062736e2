"""Pagliardini et al. 2024 (arXiv:2409.03137), algorithm 1, with the schedulers of section 3."""

import numpy as np

HYPER = (
    {
        "learning_rate": 0.0625,
        "beta_1": 0.8,
        "beta_2": 0.97,
        "beta_3": 0.9995,
        "alpha": 7.0,
        "warmup_steps": 30,
        "epsilon": 1e-4,
        "weight_decay": 0.2,
    },
    {"learning_rate": 0.0625, "beta_1": 0.7, "beta_2": 0.9, "beta_3": 0.99, "alpha": 2.0},
    {"learning_rate": 0.0625, "beta_1": 0.9, "beta_3": 0.8, "warmup_steps": 20},
)


def trajectory(
    weights,
    gradients,
    *,
    learning_rate,
    beta_1=0.9,
    beta_2=0.999,
    beta_3=0.9999,
    alpha=5.0,
    warmup_steps=None,
    epsilon=1e-8,
    weight_decay=0.0,
):
    w, m1, m2, v = list(weights), *([np.zeros_like(x) for x in weights] for _ in range(3))
    for t, step in enumerate(gradients, 1):
        a, b = alpha, beta_3
        if warmup_steps:
            a = min(t * alpha / warmup_steps, alpha)
            b = min(interpolated(beta_1, beta_3, min(t / warmup_steps, 1)), beta_3)
        for i, g in enumerate(step):
            m1[i] = beta_1 * m1[i] + (1 - beta_1) * g
            m2[i] = b * m2[i] + (1 - b) * g
            v[i] = beta_2 * v[i] + (1 - beta_2) * g**2
            m_hat, v_hat = m1[i] / (1 - beta_1**t), v[i] / (1 - beta_2**t)
            u = (m_hat + a * m2[i]) / (np.sqrt(v_hat) + epsilon)
            w[i] = w[i] - learning_rate * (u + weight_decay * w[i])
        yield list(w)


def interpolated(start, end, s):
    """Between two decay rates, linear in their half-lives."""
    a, b = np.log(start), np.log(end)
    return np.exp(a * b / ((1 - s) * b + s * a))
