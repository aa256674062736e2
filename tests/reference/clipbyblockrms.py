"""Shazeer & Stern 2018 (arXiv:1804.04235), algorithm 3, the clipping alone, of a gradient."""

import numpy as np

HYPER = ({"threshold": 0.6},)


def modified(g, w, threshold=1.0):
    return g / max(1.0, np.sqrt(np.mean(g**2)) / threshold)
