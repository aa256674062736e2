"""Duchi, Hazan and Singer 2011 (JMLR 12), figure 1, diagonal: the composite mirror descent update.

Its proximal step minimizes `<g, x> + penalty(x) + (x - w)' H (x - w) / (2 lr)` with
`H = sqrt(sum of squares)`. For the penalty `l1 * |x|` this is the soft threshold `lr * l1 / H` of
each entry of `w - lr * g / H`, equation 20. The sum starts at a number and has an epsilon added
inside the root. `rowwise` has one `H` for each row.
"""

import numpy as np

HYPER = (
    {
        "learning_rate": 0.125,
        "initial_accumulator_value": 0.5,
        "epsilon": 1e-2,
        "weight_decay": 0.2,
    },
    {"learning_rate": 0.25, "initial_accumulator_value": 0.0, "epsilon": 0.0},
    {"learning_rate": 0.25, "rowwise": True, "epsilon": 1e-3, "weight_decay": 0.1},
    {
        "learning_rate": 0.25,
        "initial_accumulator_value": 0.25,
        "proximal": {"rule": "SoftThreshold", "kwargs": {"threshold": 0.25}},
        "weight_decay": 0.1,
    },
    {
        "learning_rate": 0.25,
        "rowwise": True,
        "proximal": {"rule": "SoftThreshold", "kwargs": {"threshold": 0.125}},
    },
)


def trajectory(
    weights,
    gradients,
    *,
    learning_rate,
    initial_accumulator_value=0.1,
    epsilon=1e-7,
    proximal=None,
    rowwise=False,
    weight_decay=0.0,
):
    w, total = list(weights), [np.full_like(x, initial_accumulator_value) for x in weights]
    for step in gradients:
        for i, g in enumerate(step):
            others = tuple(range(1, g.ndim))
            total[i] = total[i] + (np.mean(g**2, others, keepdims=True) if rowwise else g**2)
            root = np.sqrt(total[i] + epsilon)
            seen = total[i] > 0
            u = np.where(seen, g / np.where(seen, root, 1), 0)
            x = w[i] - learning_rate * (u + weight_decay * w[i])
            if proximal:
                threshold = learning_rate * proximal["kwargs"]["threshold"] / root
                x = np.sign(x) * np.maximum(np.abs(x) - threshold, 0)
            w[i] = x
        yield list(w)
