"""Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; decay and
`match_rms_adamw`: Liu et al. 2025 (arXiv:2502.16982). Vectors and scalars: AdamW.
"""

import numpy as np

from tests.golden.polar_express import polar_express
from tests.reference import adamw

DTYPES = ("float32",)  # the iteration runs in float32, whatever the dtype of the variables
FALLBACK = {
    "rule": "AdamW",
    "kwargs": {"learning_rate": 0.03125, "beta_1": 0.8, "epsilon": 1e-4, "weight_decay": 0.2},
}
HYPER = (
    {"learning_rate": 0.0625, "momentum": 0.9, "weight_decay": 0.3, "fallback": FALLBACK},
    {
        "learning_rate": 0.0625,
        "momentum": 0.8,
        "nesterov": False,
        "ns_steps": 4,
        "ns_coefficients": (2.0, -1.5, 0.5),
        "adjust": "match_rms_adamw",
        "fallback": FALLBACK,
    },
    {"learning_rate": 0.03125, "adjust": None, "fallback": FALLBACK},
    {"learning_rate": 0.0625, "ns_coefficients": "polar_express", "fallback": FALLBACK},
)


def trajectory(weights, gradients, **hyper):
    return with_fallback(matrices, weights, gradients, **hyper)


def with_fallback(matrices, weights, gradients, *, fallback, **hyper):
    """Updates kernels as `matrices` does, and everything else by AdamW."""
    kernels = [i for i, w in enumerate(weights) if w.ndim >= 2]
    others = [i for i, w in enumerate(weights) if w.ndim < 2]

    def part(values, indices):
        return [values[i] for i in indices]

    both = zip(
        matrices(part(weights, kernels), [part(g, kernels) for g in gradients], **hyper),
        adamw.trajectory(
            part(weights, others), [part(g, others) for g in gradients], **fallback["kwargs"]
        ),
        strict=True,
    )
    for moved, rest in both:
        found = dict(zip(kernels, moved, strict=True)) | dict(zip(others, rest, strict=True))
        yield [found[i] for i in range(len(weights))]


def matrices(
    weights,
    gradients,
    *,
    learning_rate=0.02,
    momentum=0.95,
    nesterov=True,
    ns_steps=5,
    ns_coefficients=(3.4445, -4.775, 2.0315),
    adjust="original",
    weight_decay=0.0,
):
    w, b = list(weights), [np.zeros_like(x) for x in weights]
    for step in gradients:
        for i, g in enumerate(step):
            b[i] = momentum * b[i] + g
            update = g + momentum * b[i] if nesterov else b[i]
            update = update.reshape(-1, g.shape[-1])
            o = newton_schulz(update, ns_steps, ns_coefficients)
            u = scale(adjust, *o.shape) * o.reshape(g.shape)
            w[i] = w[i] - learning_rate * (u + weight_decay * w[i])
        yield list(w)


def scale(adjust, inputs, outputs):
    return {
        "original": np.sqrt(max(1, outputs / inputs)),
        "match_rms_adamw": 0.2 * np.sqrt(max(inputs, outputs)),
        None: 1.0,
    }[adjust]


def newton_schulz(x, steps, coefficients):
    """Applies `a s + b s**3 + c s**5` to every singular value `s` of `x / norm(x)`."""
    polynomials, margin = [coefficients] * steps, 1.0
    if coefficients == "polar_express":
        polynomials, margin = polar_express(steps), 1.01
    x = x / (margin * np.linalg.norm(x))
    for a, b, c in polynomials:
        gram = x @ x.T
        x = a * x + b * gram @ x + c * gram @ gram @ x
    return x
