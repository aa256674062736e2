"""Shazeer and Stern 2018 (arXiv:1804.04235), section 6."""

import numpy as np

HYPER = ({"threshold": 0.5},)


def modified(g, w, threshold=1.0):
    rms = np.sqrt(np.mean(g**2))
    return g * min(1.0, threshold / rms) if rms else g
