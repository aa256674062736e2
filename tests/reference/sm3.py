"""Anil et al. 2019 (arXiv:1901.11150), SM3-II, with the cover of all slices along every axis.

The momentum is that of section 4. The paper takes 0/0 as 0 and has no epsilon; here one is added
inside the root.
"""

import numpy as np

HYPER = (
    {"learning_rate": 0.125, "momentum": 0.7, "epsilon": 1e-2, "weight_decay": 0.2},
    {"learning_rate": 0.25, "momentum": 0.0, "epsilon": 0.0},
)


def trajectory(
    weights, gradients, *, learning_rate=0.1, momentum=0.9, epsilon=1e-8, weight_decay=0.0
):
    w, m = list(weights), [np.zeros_like(x) for x in weights]
    maxima = [[np.zeros(n) for n in x.shape] or [np.zeros(())] for x in weights]
    for step in gradients:
        for i, g in enumerate(step):
            nu = np.zeros_like(g)
            for index in np.ndindex(g.shape):
                bounds = (
                    [mu[j] for mu, j in zip(maxima[i], index, strict=True)]
                    if index
                    else [maxima[i][0]]
                )
                nu[index] = min(bounds) + g[index] ** 2
            for axis, mu in enumerate(maxima[i]):
                for j in range(mu.size):
                    mu.reshape(-1)[j] = np.max(np.take(nu, j, axis)) if g.ndim else nu
            u = np.where(nu > 0, g / np.sqrt(np.where(nu > 0, nu + epsilon, 1)), 0)
            m[i] = momentum * m[i] + (1 - momentum) * u
            w[i] = w[i] - learning_rate * (m[i] + weight_decay * w[i])
        yield list(w)
