"""Gupta et al. 2018 (arXiv:1802.09568), algorithm 1, as in Shi et al. 2023 (arXiv:2309.06497):
moving averages, blocks, roots that are computed seldom, and the norm of Adam's step. Epsilon is
relative to the largest eigenvalue (Anil et al. 2020, arXiv:2002.09018).
"""

import numpy as np

SETTINGS = {"matrix_epsilon": 0.01}  # in float32, smaller ones make rounding errors visible
HYPER = (
    {"learning_rate": 0.0625, "precondition_frequency": 3, "matrix_epsilon": 0.03125},
    {
        "learning_rate": 0.03125,
        "beta_1": 0.75,
        "beta_2": 0.875,
        "precondition_frequency": 1,
        "block_size": 4,
        "matrix_epsilon": 0.125,
        "weight_decay": 0.25,
    },
    {
        "learning_rate": 0.015625,
        "beta_1": 0.0,
        "block_size": 3,
        "grafting": "sgd",
        "matrix_epsilon": 0.0625,
    },
)


def trajectory(weights, gradients, **hyper):
    each = [variable(w, [step[i] for step in gradients], **hyper) for i, w in enumerate(weights)]
    for values in zip(*each, strict=True):
        yield list(values)


def variable(
    w,
    gradients,
    *,
    learning_rate=1e-3,
    beta_1=0.9,
    beta_2=0.999,
    precondition_frequency=10,
    block_size=1024,
    grafting="adam",
    matrix_epsilon=1e-6,
    weight_decay=0.0,
):
    matrix = (w.size // w.shape[-1], w.shape[-1]) if w.ndim > 1 else (w.size, 1)
    blocks = [
        np.s_[i : i + block_size, j : j + block_size]
        for i in range(0, matrix[0], block_size)
        for j in range(0, matrix[1], block_size)
    ]
    statistics = [(0, 0) for _ in blocks]
    roots = None
    m = v = np.zeros_like(w)
    for t, g in enumerate(gradients, 1):
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        u = m / (1 - beta_1**t)
        if grafting == "adam":
            u = u / (np.sqrt(v / (1 - beta_2**t)) + 1e-8)
        if min(matrix) > 1:
            u, of_m, of_g = (x.reshape(matrix).copy() for x in (u, m, g))
            for i, block in enumerate(blocks):
                if roots is not None:
                    s = roots[i][0] @ of_m[block] @ roots[i][1]
                    u[block] = s * np.linalg.norm(u[block]) / np.linalg.norm(s)
                a, b = statistics[i]
                x = of_g[block]
                a = beta_2 * a + (1 - beta_2) * x @ x.T
                b = beta_2 * b + (1 - beta_2) * x.T @ x
                statistics[i] = a, b
            if (t - 1) % precondition_frequency == 0:
                roots = [[root(x, matrix_epsilon) for x in pair] for pair in statistics]
            u = u.reshape(w.shape)
        w = w - learning_rate * (u + weight_decay * w)
        yield w


def root(x, epsilon):
    values, vectors = np.linalg.eigh(x)
    return vectors @ np.diag((np.maximum(values, 0) + epsilon * values[-1]) ** -0.25) @ vectors.T
