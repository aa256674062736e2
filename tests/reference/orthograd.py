"""Prieto et al. 2025 (arXiv:2501.04697): the projection, and the rescaling of the authors' code."""

import numpy as np

HYPER = ({},)


def modified(g, w):
    a, b = g.ravel(), w.ravel()
    if not b.any():
        return g
    rest = g - (a @ b) / (b @ b) * w
    if g.size == 1 or not a.any():
        return np.zeros_like(g)
    return rest * np.linalg.norm(a) / np.linalg.norm(rest)
