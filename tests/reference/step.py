"""Step decay, by definition."""

HYPER = ({"initial_learning_rate": 1.0, "step_size": 7, "gamma": 0.5},)


def value(t, initial_learning_rate, step_size, gamma):
    return initial_learning_rate * gamma ** (t // step_size)
