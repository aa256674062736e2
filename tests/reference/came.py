"""Luo et al. 2023 (arXiv:2307.02047), algorithm 2.

Variables of more than two axes are stacks of matrices in their last two. The paper has matrices
only: for vectors the second moment is stored as it is and the momentum is the step, as in the
authors' code. The decay is decoupled.
"""

import numpy as np

SETTINGS = {"learning_rate": 0.005, "beta_3": 0.99}
HYPER = (
    {
        "learning_rate": 0.03125,
        "beta_1": 0.8,
        "beta_2": 0.95,
        "beta_3": 0.97,
        "clip_threshold": 0.7,
        "epsilon_1": 1e-5,
        "epsilon_2": 1e-4,
        "weight_decay": 0.2,
    },
    {"learning_rate": 0.015625, "beta_1": 0.7, "beta_2": 0.9, "beta_3": 0.8, "epsilon_2": 1e-6},
)


def trajectory(
    weights,
    gradients,
    *,
    learning_rate,
    beta_1=0.9,
    beta_2=0.999,
    beta_3=0.9999,
    clip_threshold=1.0,
    epsilon_1=1e-30,
    epsilon_2=1e-16,
    weight_decay=0.0,
):
    w, m, v, instability = list(weights), *([0.0] * len(weights) for _ in range(3))
    for step in gradients:
        for i, g in enumerate(step):
            v[i] = averaged(v[i], g**2 + epsilon_1, beta_2)
            n = g / np.sqrt(approximated(v[i]))
            n = n / max(1, np.sqrt(np.mean(n**2)) / clip_threshold)
            m[i] = beta_1 * m[i] + (1 - beta_1) * n
            u = m[i]
            if g.ndim > 1:
                instability[i] = averaged(instability[i], (n - m[i]) ** 2 + epsilon_2, beta_3)
                u = u / np.sqrt(approximated(instability[i]))
            w[i] = w[i] - learning_rate * (u + weight_decay * w[i])
        yield list(w)


def averaged(old, x, beta):
    """The average of a vector, or of the row and column means of a matrix, as a list."""
    means = [x] if x.ndim < 2 else [x.mean(-1, keepdims=True), x.mean(-2, keepdims=True)]
    pairs = zip(old or [0.0] * len(means), means, strict=True)
    return [beta * a + (1 - beta) * b for a, b in pairs]


def approximated(means):
    if len(means) == 1:
        return means[0]
    rows, columns = means
    return rows @ columns / rows.mean(-2, keepdims=True)
