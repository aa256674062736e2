"""Defazio et al. 2024 (arXiv:2405.15682), algorithm 1, around gradient descent or Adam.

The paper's algorithm has Adam's bias correction in the rate, hence in the decay and in the weights
of the average. The authors' code, which is followed here, has it in the second moment only. The
code weighs by the largest rate so far, to the power `weight_lr_power`, and by the step number to
the power `r`; the paper's algorithm has power 2 and `r = 0`.
"""

import numpy as np

from keras_gdx.schedules import MultiStep

FALLING = MultiStep(0.75, [15, 50], 0.5)  # exact in float32; the last change is yet to come
HYPER = (
    {
        "inner": {"rule": "SGD", "kwargs": {"learning_rate": 0.125, "weight_decay": 0.2}},
        "beta": FALLING,
        "weight_lr_power": 1.0,
        "r": 1.5,
        "warmup_steps": 8,
    },
    {
        "inner": {
            "rule": "Adam",
            "kwargs": {
                "learning_rate": 0.125,
                "beta_1": 0.0,
                "beta_2": 0.95,
                "epsilon": 1e-4,
                "weight_decay": 0.3,
            },
        },
        "beta": 0.95,
        "warmup_steps": 3,
    },
)


def trajectory(weights, gradients, **hyper):
    """Yields the weights `y` at which the gradients are computed."""
    return (y for y, _ in points(weights, gradients, **hyper))


def final(weights, gradients, **hyper):
    """The average `x` after the last step."""
    *_, (_, x) = points(weights, gradients, **hyper)
    return x


def points(weights, gradients, *, inner, **hyper):
    direction = {"SGD": descent, "Adam": adam}[inner["rule"]]
    kwargs = {name: x for name, x in inner["kwargs"].items() if name != "beta_1"}
    return average(weights, gradients, direction, **kwargs, **hyper)


def average(
    weights,
    gradients,
    direction,
    *,
    learning_rate,
    beta=0.9,
    weight_lr_power=2.0,
    r=0.0,
    warmup_steps=0,
    weight_decay=0.0,
    **hyper,
):
    """Yields `(y, x)` after every step in the direction that `direction` computes.

    `beta` is a number, or a function of the number of earlier updates.
    """
    x, y, z = list(weights), list(weights), list(weights)
    largest = total = 0.0
    for t, step in enumerate(direction(gradients, **hyper), 1):
        rate = learning_rate * min(1, t / warmup_steps if warmup_steps else 1)
        largest = max(largest, rate)
        share = t**r * largest**weight_lr_power
        total += share
        c = share / total
        b = float(beta(t - 1)) if callable(beta) else beta
        for i, u in enumerate(step):
            z[i] = z[i] - rate * (u + weight_decay * y[i])
            x[i] = (1 - c) * x[i] + c * z[i]
            y[i] = (1 - b) * z[i] + b * x[i]
        yield list(y), list(x)


def descent(gradients):
    return gradients


def adam(gradients, *, beta_2=0.999, epsilon=1e-8):
    v = [np.zeros_like(g) for g in gradients[0]]
    for t, step in enumerate(gradients, 1):
        v = [beta_2 * x + (1 - beta_2) * g**2 for x, g in zip(v, step, strict=True)]
        v_hat = [x / (1 - beta_2**t) for x in v]
        yield [g / (np.sqrt(x) + epsilon) for x, g in zip(v_hat, step, strict=True)]
