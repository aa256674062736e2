"""Li 2015 (arXiv:1512.04202) and Pooladzandi & Li 2024 (arXiv:2402.04553): whitening of the
momentum with a Kronecker product of triangular factors, each on the Lie group of such matrices.

The spectral norm is estimated as in the authors' code, which limits the RMS of the step to 1.1 and
updates the factors at regular intervals. The noise is that of the package.
"""

import numpy as np

from keras_gdx.backends import backend

HYPER = (
    {"learning_rate": 0.0625},
    {
        "learning_rate": 0.03125,
        "momentum": 0.75,
        "update_probability": 0.375,
        "max_size_triangular": 4,
        "weight_decay": 0.25,
    },
    {"learning_rate": 0.03125, "momentum": 0.0, "max_size_triangular": 2},
)


def trajectory(weights, gradients, **hyper):
    each = [variable(i, w, [step[i] for step in gradients], **hyper) for i, w in enumerate(weights)]
    for values in zip(*each, strict=True):
        yield list(values)


def variable(
    index,
    w,
    gradients,
    *,
    learning_rate=1e-3,
    momentum=0.9,
    update_probability=None,
    max_size_triangular=8192,
    weight_decay=0.0,
):
    shape = w.shape or (1,)
    triangular = [w.ndim > 1 and 1 < n <= max_size_triangular for n in shape]
    q = [np.eye(n) for n in shape]  # diagonal ones stay so
    m = np.zeros_like(w)
    waited = 0
    for t, g in enumerate(gradients, 1):
        probability = update_probability
        if probability is None:
            probability = min(1.0, max(0.03, np.exp(-(t - 1 - 500) / 1000)))
        m = momentum * m + (1 - momentum) * g
        x = (m / (1 - momentum**t)).reshape(shape)
        waited += 1
        if waited >= 1 / probability:
            waited = 0
            v = backend.normal(shape, 0, t, index).numpy().astype("float64")
            a, b = along(x, q), along(v, [np.linalg.inv(each).T for each in q])
            for axis, dense in enumerate(triangular):
                aa, bb = (unfolded(y, axis) @ unfolded(y, axis).T for y in (a, b))
                if dense:
                    step = np.triu(aa - bb) / estimate(aa + bb)
                else:
                    step = np.diag(np.diag(aa - bb)) / np.diag(aa + bb).max()
                q[axis] = q[axis] - 0.1 * step @ q[axis]
        u = along(x, [each.T @ each for each in q])
        u = u * min(1.0, 1.1 / (np.sqrt(np.mean(u * u)) + 1e-6))
        w = w - learning_rate * (u.reshape(w.shape) + weight_decay * w)
        yield w


def estimate(matrix):
    """A lower bound of the spectral norm: two steps of power iteration from the longest column."""
    column = matrix[:, np.argmax(np.linalg.norm(matrix, axis=0))]
    column = matrix @ column
    return np.linalg.norm(matrix @ column) / np.linalg.norm(column)


def unfolded(x, axis):
    return np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)


def along(x, matrices):
    """`sum_i a[j, i] x[..., i, ...]` along each axis."""
    for axis, a in enumerate(matrices):
        x = np.moveaxis(np.tensordot(a, x, axes=[[1], [axis]]), 0, axis)
    return x
