"""Chen et al. 2021 (arXiv:2107.04197), the REX profile."""

HYPER = ({"initial_learning_rate": 0.1, "decay_steps": 24},)


def value(t, initial_learning_rate, decay_steps):
    left = max(1 - t / decay_steps, 0)
    return initial_learning_rate * left / (0.5 + 0.5 * left)
