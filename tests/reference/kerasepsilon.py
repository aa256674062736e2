"""keras.optimizers.Adam: epsilon is added to the root of the uncorrected second moment."""

HYPER = ({"epsilon": 1e-3, "beta_2": 0.9},)


def value(t, epsilon, beta_2):
    return epsilon / (1 - beta_2 ** (t + 1)) ** 0.5
