"""Liang et al. 2024 (arXiv:2411.16085), algorithm 1, for gradient descent.

There the direction is the gradient, which agrees with itself wherever it is not zero.
"""

import numpy as np

HYPER = ({},)


def modified(g, w):
    return g / max(np.mean(g != 0), 1e-3)
