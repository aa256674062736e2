"""Mishchenko & Defazio 2023 (arXiv:2306.06101), algorithm 4, with the options of its authors' code.

Those are: sums that decay by `beta_3`; a bound of the growth, which does not apply to the first
estimate; `safeguard_warmup`; and Adam's bias corrections as a factor of the rate. The decay is
multiplied by the complete rate, before the new estimate.
"""

import numpy as np

SETTINGS = {"learning_rate": 1.0, "d0": 0.02, "growth_rate": 1.5}
HYPER = (
    {
        "learning_rate": 0.75,
        "beta_1": 0.8,
        "beta_2": 0.95,
        "beta_3": 0.9,
        "d0": 0.015625,
        "d_coefficient": 2.0,
        "epsilon": 1e-3,
        "weight_decay": 0.2,
    },
    {
        "learning_rate": 0.5,
        "beta_2": 0.9,
        "d0": 0.015625,
        "growth_rate": 1.125,
        "use_bias_correction": True,
        "safeguard_warmup": True,
        "weight_decay": 0.1,
    },
)


def trajectory(
    weights,
    gradients,
    *,
    learning_rate=1.0,
    beta_1=0.9,
    beta_2=0.999,
    beta_3=None,
    d0=1e-6,
    d_coefficient=1.0,
    growth_rate=np.inf,
    epsilon=1e-8,
    use_bias_correction=False,
    safeguard_warmup=False,
    weight_decay=0.0,
):
    start = w = list(weights)
    m, v, s = ([np.zeros_like(x) for x in weights] for _ in range(3))
    beta_3 = np.sqrt(beta_2) if beta_3 is None else beta_3
    d = d_max = d0
    numerator = 0.0
    for t, step in enumerate(gradients, 1):
        rate = d * learning_rate
        if use_bias_correction:
            rate = rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        inner = sum(np.sum(g * (a - b)) for g, a, b in zip(step, start, w, strict=True))
        numerator = beta_3 * numerator + d / d0 * rate * inner
        for i, g in enumerate(step):
            s[i] = beta_3 * s[i] + d / d0 * (d if safeguard_warmup else rate) * g
            m[i] = beta_1 * m[i] + (1 - beta_1) * d * g
            v[i] = beta_2 * v[i] + (1 - beta_2) * (d * g) ** 2
        estimate = d_coefficient * numerator / sum(np.sum(np.abs(x)) for x in s)
        first = max(d, estimate) if d == d0 else d
        d_max = max(d_max, estimate)
        d = min(d_max, first * growth_rate)
        w = [
            x - rate * (a / (np.sqrt(b) + d * epsilon) + weight_decay * x)
            for x, a, b in zip(w, m, v, strict=True)
        ]
        yield w
