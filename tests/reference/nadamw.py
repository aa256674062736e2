"""Dozat 2016, with the decoupled decay of Loshchilov & Hutter 2017 (arXiv:1711.05101)."""

from tests.reference import nadam

HYPER = (
    {"learning_rate": 0.0625, "beta_1": 0.8, "beta_2": 0.97, "epsilon": 1e-4, "weight_decay": 0.2},
    {"learning_rate": 0.0625, "beta_1": 0.7, "beta_2": 0.8, "amsgrad": True, "weight_decay": 0.1},
)


def trajectory(weights, gradients, *, weight_decay=0.01, **hyper):
    return nadam.trajectory(weights, gradients, weight_decay=weight_decay, **hyper)
