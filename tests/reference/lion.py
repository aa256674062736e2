"""Chen et al. 2023 (arXiv:2302.06675), algorithm 2."""

import numpy as np

HYPER = ({"learning_rate": 0.03125, "beta_1": 0.7, "beta_2": 0.85, "weight_decay": 0.4},)


def trajectory(weights, gradients, *, learning_rate, beta_1=0.9, beta_2=0.99, weight_decay=0.0):
    w, m = list(weights), [np.zeros_like(x) for x in weights]
    for step in gradients:
        for i, g in enumerate(step):
            c = beta_1 * m[i] + (1 - beta_1) * g
            w[i] = w[i] - learning_rate * (np.sign(c) + weight_decay * w[i])
            m[i] = beta_2 * m[i] + (1 - beta_2) * g
        yield list(w)
