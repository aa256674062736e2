"""Khaled et al. 2023 (arXiv:2305.16284), algorithm 1.

The distance and the weighted sum of squares are over all variables together. The first distance is
that of DoG, and epsilon is outside the square root. The decay is not part of the gradient: it does
not enter the sum.
"""

import numpy as np

SETTINGS = {"learning_rate": 1.0, "reps_rel": 0.05}
HYPER = ({"learning_rate": 0.75, "reps_rel": 0.02, "epsilon": 0.5, "weight_decay": 0.3},)


def trajectory(
    weights, gradients, *, learning_rate=1.0, reps_rel=1e-6, epsilon=1e-8, weight_decay=0.0
):
    start = w = list(weights)
    distance, weighted = reps_rel * (1 + length(start)), 0.0
    for step in gradients:
        distance = max(distance, length([x - y for x, y in zip(w, start, strict=True)]))
        weighted = weighted + distance**2 * length(step) ** 2
        rate = learning_rate * distance**2 / (np.sqrt(weighted) + epsilon)
        w = [x - rate * (g + weight_decay * x) for x, g in zip(w, step, strict=True)]
        yield w


def length(values):
    return np.sqrt(sum(np.sum(x**2) for x in values))
