"""Li et al. 2025 (arXiv:2510.05491), algorithm 1, with the momentum of Muon."""

import numpy as np

from tests.reference.muon import DTYPES, FALLBACK, newton_schulz, scale, with_fallback

__all__ = ["DTYPES", "HYPER", "trajectory"]

HYPER = (
    {"learning_rate": 0.0625, "beta_2": 0.75, "weight_decay": 0.3, "fallback": FALLBACK},
    {
        "learning_rate": 0.0625,
        "momentum": 0.8,
        "beta_2": 0.5,
        "nesterov": False,
        "ns_steps": 4,
        "ns_coefficients": (2.0, -1.5, 0.5),
        "adjust": "match_rms_adamw",
        "fallback": FALLBACK,
    },
    {"ns_coefficients": "polar_express", "adjust": None, "fallback": FALLBACK},
)


def trajectory(weights, gradients, **hyper):
    return with_fallback(matrices, weights, gradients, **hyper)


def matrices(
    weights,
    gradients,
    *,
    learning_rate=0.02,
    momentum=0.95,
    beta_2=0.95,
    nesterov=True,
    ns_steps=5,
    ns_coefficients=(3.4445, -4.775, 2.0315),
    adjust="original",
    weight_decay=0.0,
):
    w, m = list(weights), [np.zeros_like(x) for x in weights]
    v = [np.zeros(x.shape[-1]) for x in weights]
    for step in gradients:
        for i, g in enumerate(step):
            m[i] = momentum * m[i] + g
            update = g + momentum * m[i] if nesterov else m[i]
            o = newton_schulz(update.reshape(-1, g.shape[-1]), ns_steps, ns_coefficients)
            v[i] = beta_2 * v[i] + (1 - beta_2) * (o**2).mean(axis=0)
            normalized = o / (np.sqrt(v[i]) + 1e-10)
            if adjust == "original":
                size = 0.2 * np.sqrt(o.size)
            else:
                size = scale(adjust, *o.shape) * np.linalg.norm(o)
            u = size * normalized / np.linalg.norm(normalized)
            w[i] = w[i] - learning_rate * (u.reshape(g.shape) + weight_decay * w[i])
        yield list(w)
