"""Vyas et al. 2024 (arXiv:2409.11321), algorithm 3, for tensors of any rank.

The bases are unique only if no two eigenvalues are equal, so axes that are longer than the first
gradient's rank must not have one: `max_precondition_dim` is at most 4 with the shapes of the tests.
"""

import numpy as np

# Gradients of low rank and a small epsilon let rounding errors determine steps of full size.
SETTINGS = {"max_precondition_dim": 4, "epsilon": 0.01}
HYPER = (
    {"learning_rate": 0.0625, "precondition_frequency": 3, "max_precondition_dim": 4},
    {
        "learning_rate": 0.03125,
        "beta_1": 0.75,
        "beta_2": 0.875,
        "precondition_frequency": 1,
        "max_precondition_dim": 3,
        "epsilon": 1e-3,
        "weight_decay": 0.25,
    },
    {"learning_rate": 0.0625, "max_precondition_dim": 1},
)


def trajectory(weights, gradients, **hyper):
    each = [variable(w, [step[i] for step in gradients], **hyper) for i, w in enumerate(weights)]
    for values in zip(*each, strict=True):
        yield list(values)


def variable(
    w,
    gradients,
    *,
    learning_rate=3e-3,
    beta_1=0.95,
    beta_2=0.95,
    precondition_frequency=10,
    max_precondition_dim=10000,
    epsilon=1e-8,
    weight_decay=0.0,
):
    axes = [a for a in range(w.ndim) if w.ndim > 1 and w.shape[a] <= max_precondition_dim]
    m = v = np.zeros_like(w)
    for t, g in enumerate(gradients):
        grams = {a: unfolded(g, a) @ unfolded(g, a).T for a in axes}
        if t == 0:
            statistics = {a: (1 - beta_2) * grams[a] for a in axes}
            q = {a: np.linalg.eigh(grams[a])[1][:, ::-1] for a in axes}
            yield w
            continue
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * along(g, q) ** 2
        m_hat = along(m, q) / (1 - beta_1**t)
        root = np.sqrt(1 - beta_2**t)
        step = m_hat * root / (np.sqrt(v) + epsilon)
        back = {a: q[a].T for a in axes}
        w = w - learning_rate * (along(step, back) + weight_decay * w)
        statistics = {a: beta_2 * statistics[a] + (1 - beta_2) * grams[a] for a in axes}
        if t % precondition_frequency == 0:
            for a in axes:
                power = statistics[a] @ q[a]
                order = np.argsort(-np.einsum("ij,ij->j", q[a], power))
                v = np.take(v, order, axis=a)
                q[a] = np.linalg.qr(power[:, order])[0]
        yield w


def unfolded(x, axis):
    return np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)


def along(x, matrices):
    """`sum_i x[..., i, ...] a[i, j]` along each axis."""
    for axis, a in matrices.items():
        x = np.moveaxis(np.moveaxis(x, axis, -1) @ a, -1, axis)
    return x
