"""Zaheer et al. 2018 (Adaptive methods for nonconvex optimization), algorithm 2.

The paper has no bias corrections; these are Adam's, as in optax and TensorFlow Addons. The decay
is decoupled.
"""

import numpy as np

HYPER = (
    {
        "learning_rate": 0.0625,
        "beta_1": 0.8,
        "beta_2": 0.95,
        "epsilon": 1e-2,
        "initial_accumulator_value": 0.25,
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
    epsilon=1e-3,
    initial_accumulator_value=1e-6,
    weight_decay=0.0,
):
    w, m = list(weights), [np.zeros_like(x) for x in weights]
    v = [np.full_like(x, initial_accumulator_value) for x in weights]
    for t, step in enumerate(gradients, 1):
        for i, g in enumerate(step):
            m[i] = beta_1 * m[i] + (1 - beta_1) * g
            v[i] = v[i] - (1 - beta_2) * np.sign(v[i] - g**2) * g**2
            m_hat, v_hat = m[i] / (1 - beta_1**t), v[i] / (1 - beta_2**t)
            u = m_hat / (np.sqrt(v_hat) + epsilon)
            w[i] = w[i] - learning_rate * (u + weight_decay * w[i])
        yield list(w)
