"""Self-scaled BFGS."""

import warnings

import numpy as np

from keras_gdx.full_batch.solvers import NO_LOWER_LOSS


def self_scaled_bfgs(run, w):
    r"""BFGS that enlarges its inverse Hessian before an update, where the last step was too short.

    $$H \leftarrow \frac1\tau \left(H - \frac{H y y^T H}{y^T H y} + y^T H y\, v v^T\right)
    + \frac{s s^T}{y^T s}, \qquad v = \frac{s}{y^T s} - \frac{H y}{y^T H y}, \qquad
    \tau = \min\left(1, \frac{y^T s}{s^T H^{-1} s}\right)$$

    with the step $s = -\alpha H g$ and the change $y$ of the gradient. The scale $\tau$ is that of
    Al-Baali 1998, in arXiv:2405.04230 equation 11; arXiv:2501.16371 compares it with others. The
    first $H$ is the identity, scaled to $y^T s / y^T y$ before its update (Nocedal and Wright 2006,
    equation 6.20).
    """
    from scipy.optimize import line_search

    loss, g = run(w)
    H, before = np.eye(len(w)), None
    while True:
        p = -H @ g
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it found nothing is returned, too
            alpha = line_search(
                lambda w: run(w)[0], lambda w: run(w)[1], w, p, g, loss, before, maxiter=20
            )[0]
        if alpha is None:
            return NO_LOWER_LOSS
        s, first = alpha * p, before is None
        w, old, before = w + s, g, loss
        loss, g = run(w)
        run.iterated(w)
        y = g - old
        if y @ s <= 0:  # the line search ended early, on a loss that is not convex
            continue
        if first:
            H *= (y @ s) / (y @ y)
            tau = 1.0
        else:
            tau = min(1.0, (y @ s) / (-alpha * (s @ old)))
        update(H, s, y, tau)


def update(H, s, y, tau):
    """Updates the inverse Hessian in place, by the formula with its squares multiplied out."""
    ys, Hy = y @ s, H @ y
    half = np.outer(s, ((y @ Hy / ys / tau + 1) / 2 * s - Hy / tau) / ys)
    H /= tau
    H += half
    H += half.T
