"""Zhang et al. 2019 (arXiv:1907.08610), algorithm 1, with gradient descent as inner optimizer.

The inner optimizer keeps its momentum when the weights are set to the slow ones.
"""

import numpy as np

SETTINGS = {"sync_period": 3}
HYPER = (
    {
        "inner": {
            "rule": "SGD",
            "kwargs": {"learning_rate": 0.03125, "momentum": 0.8, "weight_decay": 0.2},
        },
        "sync_period": 4,
        "slow_step_size": 0.7,
    },
)


def trajectory(weights, gradients, *, inner, sync_period=6, slow_step_size=0.5):
    slow, fast, m = list(weights), list(weights), [np.zeros_like(x) for x in weights]
    for t, step in enumerate(gradients, 1):
        for i, g in enumerate(step):
            fast[i], m[i] = descend(fast[i], m[i], g, **inner["kwargs"])
            if t % sync_period == 0:
                slow[i] = fast[i] = slow[i] + slow_step_size * (fast[i] - slow[i])
        yield list(fast)


def descend(w, m, g, *, learning_rate, momentum=0.0, nesterov=False, weight_decay=0.0):
    m = momentum * m + g
    u = g + momentum * m if nesterov else m
    return w - learning_rate * (u + weight_decay * w), m
