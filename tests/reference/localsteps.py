"""Douillard et al. 2023 (arXiv:2311.08105), algorithm 1, on one worker, by gradient descent."""

import numpy as np

from tests.reference.lookahead import descend

INNER = {"rule": "SGD", "kwargs": {"learning_rate": 0.03125, "momentum": 0.8}}
OUTER = {"rule": "SGD", "kwargs": {"learning_rate": 0.75, "momentum": 0.6, "nesterov": True}}
HYPER = (
    {"inner": INNER, "sync_period": 4},
    {"inner": INNER, "outer": OUTER, "sync_period": 4},
)


def trajectory(weights, gradients, *, inner, outer=None, sync_period=8):
    slow, fast = list(weights), list(weights)
    m, velocity = ([np.zeros_like(x) for x in weights] for _ in range(2))
    for t, step in enumerate(gradients, 1):
        for i, g in enumerate(step):
            fast[i], m[i] = descend(fast[i], m[i], g, **inner["kwargs"])
            if outer and t % sync_period == 0:
                way = slow[i] - fast[i]
                slow[i], velocity[i] = descend(slow[i], velocity[i], way, **outer["kwargs"])
                fast[i] = slow[i]
        yield list(fast)
