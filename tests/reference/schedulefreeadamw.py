"""Defazio et al. 2024 (arXiv:2405.15682), algorithm 1; what differs: see `schedulefree.py`."""

from tests.reference.schedulefree import adam, average

HYPER = (
    {
        "learning_rate": 0.125,
        "beta": 0.85,
        "beta_2": 0.95,
        "epsilon": 1e-4,
        "weight_lr_power": 1.0,
        "r": 0.5,
        "warmup_steps": 6,
        "weight_decay": 0.3,
    },
)


def trajectory(weights, gradients, **hyper):
    return (y for y, _ in average(weights, gradients, adam, **hyper))


def final(weights, gradients, **hyper):
    *_, (_, x) = average(weights, gradients, adam, **hyper)
    return x
