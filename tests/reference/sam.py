"""Foret et al. 2021 (arXiv:2010.01412), algorithm 1, and Kwon et al. 2021 (arXiv:2102.11600).

The base optimizer is gradient descent.
"""

import numpy as np


def trajectory(weights, slopes, *, learning_rate, rho, adaptive=False):
    """Yields the weights after each step; each of `slopes` is the gradient of one batch's loss."""
    w = list(weights)
    for slope in slopes:
        g = slope(w)
        scale = [np.abs(x) + 0.01 if adaptive else np.ones_like(x) for x in w]
        norm = np.sqrt(sum(((s * d) ** 2).sum() for s, d in zip(scale, g, strict=True)))
        moved = [x + rho * s**2 * d / norm for x, s, d in zip(w, scale, g, strict=True)]
        w = [x - learning_rate * d for x, d in zip(w, slope(moved), strict=True)]
        yield list(w)
