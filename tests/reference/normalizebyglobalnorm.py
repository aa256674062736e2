"""The length of all gradients together, plus optax's 1e-6."""

import numpy as np

HYPER = ({},)


def modified_model(gradients, weights):
    length = np.sqrt(sum(np.sum(g**2) for g in gradients)) + 1e-6
    return [g / length for g in gradients]
