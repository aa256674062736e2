"""Zeiler 2012 (arXiv:1212.5701), algorithm 1, times a learning rate; the decay is decoupled."""

import numpy as np

HYPER = (
    {"learning_rate": 0.5, "rho": 0.8, "epsilon": 1e-3, "weight_decay": 0.2},
    {"learning_rate": 2.0, "rho": 0.95, "epsilon": 1e-2},
)
SETTINGS = {"learning_rate": 1.0, "epsilon": 1e-3}


def trajectory(weights, gradients, *, learning_rate=1.0, rho=0.9, epsilon=1e-6, weight_decay=0.0):
    w, squares, deltas = list(weights), *([np.zeros_like(x) for x in weights] for _ in range(2))
    for step in gradients:
        for i, g in enumerate(step):
            squares[i] = rho * squares[i] + (1 - rho) * g**2
            delta = -np.sqrt(deltas[i] + epsilon) / np.sqrt(squares[i] + epsilon) * g
            deltas[i] = rho * deltas[i] + (1 - rho) * delta**2
            w[i] = w[i] + learning_rate * (delta - weight_decay * w[i])
        yield list(w)
