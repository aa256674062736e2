"""The polynomials of Polar Express, computed as its paper does."""

import numpy as np


def polar_express(steps, lower=1e-3, cushion=0.02, safety=1.02):
    """Amsel et al. 2025 (arXiv:2505.16932), algorithm 1 with the modifications of section 4.4."""
    upper = 1.0
    for step in range(steps):
        p = nearest_to_one(max(lower, cushion * upper), upper)
        if cushion * upper > lower:  # centers the values around one again
            p = 2 / sum(p @ (x ** np.array([1, 3, 5])) for x in (lower, upper)) * p
        if step < steps - 1:
            p = p / safety ** np.array([1, 3, 5])
        yield p
        lower = p @ (lower ** np.array([1, 3, 5]))
        upper = 2 - lower


def nearest_to_one(lower, upper):
    """The odd polynomial of degree 5 with the smallest maximum error from 1 on an interval.

    Remez' algorithm: the error has its largest value with alternating signs at the ends and at both
    extrema in between.
    """
    inner = np.array([(3 * lower + upper) / 4, (lower + 3 * upper) / 4])
    for _ in range(50):
        points = np.array([lower, *inner, upper])
        system = np.stack([points, points**3, points**5, [1, -1, 1, -1]], axis=1)
        a, b, c, _ = np.linalg.solve(system, np.ones(4))
        inner = np.sqrt((-3 * b + np.array([-1, 1]) * np.sqrt(9 * b * b - 20 * a * c)) / (10 * c))
    return np.array([a, b, c])
