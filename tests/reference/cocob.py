"""Orabona & Tommasi 2017 (arXiv:1705.07795), algorithm 2, where `g` is the negative gradient.

The paper does not define the bet while all gradients are 0; here `L` is at least 1e-8, as in optax.
A learning rate other than 1 takes that share of the step. The decay is multiplied by it.
"""

import numpy as np

SETTINGS = {"learning_rate": 1.0, "alpha": 20.0}
HYPER = ({"learning_rate": 0.75, "alpha": 20.0, "weight_decay": 0.2}, {"alpha": 2.0})


def trajectory(weights, gradients, *, learning_rate=1.0, alpha=100.0, weight_decay=0.0):
    start, w = list(weights), list(weights)
    L, G, reward, theta = ([np.zeros_like(x) for x in weights] for _ in range(4))
    for step in gradients:
        for i, gradient in enumerate(step):
            g = -gradient
            L[i] = np.maximum(np.maximum(L[i], np.abs(g)), 1e-8)
            G[i] = G[i] + np.abs(g)
            reward[i] = np.maximum(reward[i] + (w[i] - start[i]) * g, 0)
            theta[i] = theta[i] + g
            beta = theta[i] / (L[i] * np.maximum(G[i] + L[i], alpha * L[i]))
            moved = start[i] + beta * (L[i] + reward[i])
            w[i] = w[i] - learning_rate * (w[i] - moved + weight_decay * w[i])
        yield list(w)
