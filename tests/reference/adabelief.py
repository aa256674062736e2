"""Zhuang et al. 2020 (arXiv:2010.07468), algorithm 2; the decay is decoupled.

`threshold` and `amsgrad` are those of TensorFlow Addons' AdaBelief (`sma_threshold`).
"""

import numpy as np

HYPER = (
    {"learning_rate": 0.0625, "beta_1": 0.8, "beta_2": 0.97, "epsilon": 1e-3, "weight_decay": 0.2},
    {
        "learning_rate": 0.0625,
        "beta_1": 0.7,
        "beta_2": 0.75,
        "epsilon": 1e-3,
        "threshold": 4.5,
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
    beta_2=0.999,
    epsilon=1e-16,
    threshold=None,
    amsgrad=False,
    weight_decay=0.0,
):
    w, m, s, largest = list(weights), *([np.zeros_like(x) for x in weights] for _ in range(3))
    rho_inf = 2 / (1 - beta_2) - 1
    for t, step in enumerate(gradients, 1):
        for i, g in enumerate(step):
            m[i] = beta_1 * m[i] + (1 - beta_1) * g
            s[i] = beta_2 * s[i] + (1 - beta_2) * (g - m[i]) ** 2 + epsilon
            largest[i] = np.maximum(largest[i], s[i])
            second = largest[i] if amsgrad else s[i]
            m_hat = m[i] / (1 - beta_1**t)
            u = m_hat / (np.sqrt(second / (1 - beta_2**t)) + epsilon)
            rho = rho_inf - 2 * t * beta_2**t / (1 - beta_2**t)
            if threshold is not None and rho >= threshold:
                u *= np.sqrt(
                    (rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)
                )
            elif threshold is not None:
                u = m_hat
            w[i] = w[i] - learning_rate * (u + weight_decay * w[i])
        yield list(w)
