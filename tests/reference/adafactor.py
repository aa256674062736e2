"""Shazeer & Stern 2018 (arXiv:1804.04235), algorithms 4 and 5, sections 6 to 8.

Variables of more than two axes are stacks of matrices in their last two. The paper's algorithms
have no first moment; here it averages the clipped and scaled step, before multiplication by the
learning rate. The decay is multiplied by the learning rate, but not by the size of the parameter.
"""

import numpy as np

HYPER = (
    {
        "learning_rate": 0.0625,
        "beta_1": 0.7,
        "decay_rate": 0.7,
        "epsilon_1": 1e-5,
        "clip_threshold": 0.8,
        "scale_parameter": False,
        "min_dim_size_to_factor": 2,
        "weight_decay": 0.2,
    },
    {
        "learning_rate": 0.03125,
        "epsilon_2": 0.7,
        "min_dim_size_to_factor": 3,
        "weight_decay": 0.5,
    },
)


def trajectory(
    weights,
    gradients,
    *,
    learning_rate=None,
    beta_1=None,
    decay_rate=0.8,
    epsilon_1=1e-30,
    epsilon_2=1e-3,
    clip_threshold=1.0,
    scale_parameter=True,
    min_dim_size_to_factor=128,
    weight_decay=0.0,
):
    w, m, v, rows, columns = list(weights), *([0] * len(weights) for _ in range(4))
    for t, step in enumerate(gradients, 1):
        beta_2 = 1 - t**-decay_rate
        rho = min(1e-2, 1 / np.sqrt(t)) if learning_rate is None else learning_rate
        for i, g in enumerate(step):
            square = g**2 + epsilon_1
            if g.ndim >= 2 and min(g.shape[-2:]) >= min_dim_size_to_factor:
                rows[i] = beta_2 * rows[i] + (1 - beta_2) * square.sum(-1, keepdims=True)
                columns[i] = beta_2 * columns[i] + (1 - beta_2) * square.sum(-2, keepdims=True)
                v[i] = rows[i] @ columns[i] / rows[i].sum(-2, keepdims=True)
            else:
                v[i] = beta_2 * v[i] + (1 - beta_2) * square
            u = g / np.sqrt(v[i])
            u = u / max(1, rms(u) / clip_threshold)
            if scale_parameter:
                u = u * max(epsilon_2, rms(w[i]))
            if beta_1 is not None:
                u = m[i] = beta_1 * m[i] + (1 - beta_1) * u
            w[i] = w[i] - rho * (u + weight_decay * w[i])
        yield list(w)


def rms(x):
    return np.sqrt(np.mean(x**2))
