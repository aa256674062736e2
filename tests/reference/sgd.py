"""Gradient descent with Polyak's heavy ball or Nesterov's look-ahead gradient.

Nesterov computes the gradient at `w - momentum * (last step)`. Written for the weights at that
point, as usual since Bengio et al. 2012 (arXiv:1212.0901), the step is `g + momentum * m`.
"""

import numpy as np

HYPER = (
    {"learning_rate": 0.03125},
    {"learning_rate": 0.03125, "momentum": 0.8, "weight_decay": 0.2},
    {"learning_rate": 0.03125, "momentum": 0.7, "nesterov": True, "weight_decay": 0.1},
)


def trajectory(weights, gradients, *, learning_rate, momentum=0.0, nesterov=False, weight_decay=0):
    w, m = list(weights), [np.zeros_like(x) for x in weights]
    for step in gradients:
        for i, g in enumerate(step):
            m[i] = momentum * m[i] + g
            u = g + momentum * m[i] if nesterov else m[i]
            w[i] = w[i] - learning_rate * (u + weight_decay * w[i])
        yield list(w)
