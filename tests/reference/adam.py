"""Kingma & Ba 2014 (arXiv:1412.6980), algorithm 1; AMSGrad: Reddi et al. 2018 (arXiv:1904.09237).

AMSGrad as published has no bias correction. Here it uses the largest of Adam's corrected second
moments, so that `amsgrad=True` changes one thing about Adam, as in optax. torch and Keras use the
largest uncorrected one and correct it by the current step.
"""

import numpy as np

HYPER = (
    {"learning_rate": 0.0625, "beta_1": 0.8, "beta_2": 0.97, "epsilon": 1e-4, "weight_decay": 0.2},
    {"learning_rate": 0.0625, "beta_1": 0.7, "beta_2": 0.8, "epsilon": 1e-3, "amsgrad": True},
)


def trajectory(
    weights,
    gradients,
    *,
    learning_rate,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-8,
    amsgrad=False,
    weight_decay=0.0,
):
    w, m, v, largest = list(weights), *([np.zeros_like(x) for x in weights] for _ in range(3))
    for t, step in enumerate(gradients, 1):
        for i, g in enumerate(step):
            m[i] = beta_1 * m[i] + (1 - beta_1) * g
            v[i] = beta_2 * v[i] + (1 - beta_2) * g**2
            m_hat = m[i] / (1 - beta_1**t)
            v_hat = v[i] / (1 - beta_2**t)
            largest[i] = np.maximum(largest[i], v_hat)
            u = m_hat / (np.sqrt(largest[i] if amsgrad else v_hat) + epsilon)
            w[i] = w[i] - learning_rate * (u + weight_decay * w[i])
        yield list(w)
