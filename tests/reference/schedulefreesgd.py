"""Defazio et al. 2024 (arXiv:2405.15682), section 2: averaged gradient descent."""

from tests.reference.schedulefree import FALLING, average, descent

HYPER = (
    {
        "learning_rate": 0.125,
        "beta": FALLING,
        "weight_lr_power": 0.5,
        "r": 1.0,
        "warmup_steps": 6,
        "weight_decay": 0.3,
    },
)


def trajectory(weights, gradients, **hyper):
    return (y for y, _ in average(weights, gradients, descent, **hyper))


def final(weights, gradients, **hyper):
    *_, (_, x) = average(weights, gradients, descent, **hyper)
    return x
