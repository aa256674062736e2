"""Foret et al. 2021 (arXiv:2010.01412), algorithm 1, and Kwon et al. 2021 (arXiv:2102.11600).

With `k` > 1, Liu et al. 2022 (arXiv:2203.02714), algorithm 1. The base optimizer is gradient
descent.
"""

import numpy as np


def trajectory(weights, slopes, *, learning_rate, rho, adaptive=False, k=1, alpha=0.7):
    """Yields the weights after each step; each of `slopes` is the gradient of one batch's loss."""
    w = list(weights)
    for t, slope in enumerate(slopes):
        g = slope(w)
        if t % k == 0:
            g_s = slope(moved(w, g, rho, adaptive))
            share = dot(g, g_s) / dot(g, g)
            g_v = [s - share * d for s, d in zip(g_s, g, strict=True)]
        else:
            scale = alpha * np.sqrt(dot(g, g) / dot(g_v, g_v))
            g_s = [d + scale * v for d, v in zip(g, g_v, strict=True)]
        w = [x - learning_rate * d for x, d in zip(w, g_s, strict=True)]
        yield list(w)


def moved(w, g, rho, adaptive):
    """The weights at the end of the ascent."""
    scale = [np.abs(x) + 0.01 if adaptive else np.ones_like(x) for x in w]
    norm = np.sqrt(sum(((s * d) ** 2).sum() for s, d in zip(scale, g, strict=True)))
    return [x + rho * s**2 * d / norm for x, s, d in zip(w, scale, g, strict=True)]


def dot(a, b):
    return sum((x * y).sum() for x, y in zip(a, b, strict=True))
