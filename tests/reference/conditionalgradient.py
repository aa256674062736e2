"""TensorFlow Addons 0.23, ConditionalGradient, after Ravi et al. 2018 (arXiv:1803.06453).

The learning rate is what remains of the weights, `1 - gamma` of the paper. Kernels of more than
two axes are matrices (inputs, outputs), as elsewhere in this package. A learning rate times a
multiplier, and the decay, are those of the step `1 - learning_rate`.
"""

import numpy as np

SETTINGS = {"learning_rate": 0.875, "lambda_": 2.0, "ord": "nuclear"}
HYPER = (
    {"learning_rate": 0.75, "lambda_": 3.0, "weight_decay": 0.2},
    {"learning_rate": 0.9375, "lambda_": 1.5, "ord": "nuclear", "weight_decay": 0.3},
)


def trajectory(
    weights, gradients, *, learning_rate=0.99, lambda_=10.0, ord="fro", weight_decay=0.0
):
    w = list(weights)
    for step in gradients:
        for i, g in enumerate(step):
            s = g / (np.sqrt(np.sum(g**2)) + 1e-7) if ord == "fro" else first_singular(g)
            decay = (1 - learning_rate) * weight_decay * w[i]
            w[i] = w[i] * learning_rate - (1 - learning_rate) * lambda_ * s - decay
        yield list(w)


def first_singular(g):
    u, _, v = np.linalg.svd(g.reshape(-1, g.shape[-1] if g.ndim > 1 else 1), full_matrices=False)
    return np.outer(u[:, 0], v[0]).reshape(g.shape)
