"""Xie et al. 2022 (arXiv:2208.06677), algorithm 1.

The paper's betas are the share of the new value; ours, like those of the authors' code, are the
share of the old one. The paper starts its averages at the first gradient; the authors' code, and
every implementation since, starts them at zero and corrects the bias. The first difference of
gradients is zero.
"""

import numpy as np

HYPER = (
    {
        "learning_rate": 0.0625,
        "beta_1": 0.9,
        "beta_2": 0.6,
        "beta_3": 0.95,
        "epsilon": 1e-4,
        "weight_decay": 0.3,
    },
)


def trajectory(
    weights,
    gradients,
    *,
    learning_rate,
    beta_1=0.98,
    beta_2=0.92,
    beta_3=0.99,
    epsilon=1e-8,
    weight_decay=0.0,
):
    w, m, v, n = list(weights), *([np.zeros_like(x) for x in weights] for _ in range(3))
    last = gradients[0]
    for t, step in enumerate(gradients, 1):
        for i, (g, before) in enumerate(zip(step, last, strict=True)):
            change = g - before
            m[i] = beta_1 * m[i] + (1 - beta_1) * g
            v[i] = beta_2 * v[i] + (1 - beta_2) * change
            n[i] = beta_3 * n[i] + (1 - beta_3) * (g + beta_2 * change) ** 2
            rate = learning_rate / (np.sqrt(n[i] / (1 - beta_3**t)) + epsilon)
            moved = w[i] - rate * (m[i] / (1 - beta_1**t) + beta_2 * v[i] / (1 - beta_2**t))
            w[i] = moved / (1 + learning_rate * weight_decay)
        last = step
        yield list(w)
