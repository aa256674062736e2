"""Zhai et al. 2021 (arXiv:2106.04560), appendix: linear warmup, then the inverse square root."""

from math import sqrt

HYPER = ({"initial_learning_rate": 0.2, "warmup_steps": 5},)


def value(t, initial_learning_rate, warmup_steps):
    decay = sqrt(warmup_steps / max(t, warmup_steps))
    return initial_learning_rate * min(t / warmup_steps, decay)
