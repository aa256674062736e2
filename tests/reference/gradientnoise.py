"""Neelakantan et al. 2015 (arXiv:1511.06807), equation 1, in the first step.

The standard normal numbers are those of the package for this seed, update and variable.
"""

import numpy as np

from keras_gdx.backends import backend

HYPER = ({"eta": 0.7, "gamma": 0.3},)


def modified_model(gradients, weights, eta=0.3, gamma=0.55):
    noise = [backend.normal(g.shape, 0, 1, i).numpy() for i, g in enumerate(gradients)]
    return [g + np.sqrt(eta / 1**gamma) * x for g, x in zip(gradients, noise, strict=True)]
