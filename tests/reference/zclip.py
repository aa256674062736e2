"""Kumar et al. 2025 (arXiv:2504.02507), algorithm 1 with reciprocal clipping.

As in the authors' code, 1e-6 is added to the standard deviation, and the variance is updated with
the new mean.
"""

import numpy as np

HYPER = ({"alpha": 0.8, "z": 1.5},)


def modified_model(gradients, weights, **hyper):
    """The first step, in which nothing is clipped."""
    return next(trajectory([gradients], **hyper))


def trajectory(steps, alpha=0.97, z=2.5):
    """Yields the gradients of each step as they are clipped."""
    seen, mean, variance = [], 0.0, 0.0
    for gradients in steps:
        length = np.sqrt(sum(np.sum(g**2) for g in gradients))
        clipped = length
        if len(seen) == 25:
            score = (length - mean) / (np.sqrt(variance) + 1e-6)
            if score > z:
                clipped = mean + z * np.sqrt(variance) * z / score
            mean = alpha * mean + (1 - alpha) * clipped
            variance = alpha * variance + (1 - alpha) * (clipped - mean) ** 2
        else:
            seen.append(length)
            mean, variance = np.mean(seen), np.var(seen)
        yield [g * clipped / length for g in gradients]
