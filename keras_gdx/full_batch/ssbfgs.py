"""Self-scaled BFGS."""

import warnings

import numpy as np

from keras_gdx.full_batch.solvers import NO_LOWER_LOSS


def self_scaled_bfgs(run, w):
    r"""BFGS whose inverse Hessian is scaled in every iteration, as its inverse often is too large.

    $$H \leftarrow \frac1\tau \left(H - \frac{H y y^T H}{y^T H y} + y^T H y\, v v^T\right)
    + \frac{s s^T}{y^T s}, \qquad v = \frac{s}{y^T s} - \frac{H y}{y^T H y}, \qquad
    \tau = \min\left(1, \frac{y^T s}{s^T H^{-1} s}\right)$$

    with the step $s = -\alpha H g$ and the change $y$ of the gradient. Source: arXiv:2501.16371.
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
        H = (
            updated(H * (y @ s) / (y @ y), s, y, 1.0)
            if first
            else updated(H, s, y, min(1.0, (y @ s) / (-alpha * (s @ old))))
        )


def updated(H, s, y, tau):
    """The next inverse Hessian."""
    ys, Hy = y @ s, H @ y
    yHy = y @ Hy
    v = s / ys - Hy / yHy
    inner = H - np.outer(Hy, Hy) / yHy + yHy * np.outer(v, v)
    return inner / tau + np.outer(s, s) / ys
